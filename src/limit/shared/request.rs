//! A request as its limits see it: what it asks for, and what it is told.

use super::draw::Subject;
use crate::domain::Limit;
use crate::limit::window::Standing;
use crate::limit::{Exceeded, RouteId};

/// The limits of a request; at least one.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) own: &'a [Limit],
    pub(super) route: Option<(RouteId, &'a [Limit])>,
}

/// Some of a request's subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subjects {
    pub(super) own: bool,
    pub(super) route: Option<RouteId>,
}

/// By what right a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By Redis's grant.
    Granted,
    /// It has waited for one long enough: by the instance's own share, and by what was left.
    Late,
    /// The same where Redis is always late: by what was left alone.
    FarLate,
    /// Redis is away: by the instance's own share.
    Alone,
}

/// What a request is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Pass. How the limit nearest to its end stands then.
    Pass(Option<Standing>),
    /// Be refused.
    Refuse(Exceeded),
    /// Wait for an answer about these, and ask again.
    Wait(Subjects),
}

impl<'a> Asked<'a> {
    /// `None`: there is no limit.
    pub(super) fn of(own: &'a [Limit], route: Option<(RouteId, &'a [Limit])>) -> Option<Self> {
        let route = route.filter(|(_, limits)| !limits.is_empty());
        (!own.is_empty() || route.is_some()).then_some(Self { own, route })
    }

    /// What it counts for, with the limits of each.
    pub(super) fn subjects(self) -> impl Iterator<Item = (Subject, &'a [Limit])> {
        let own = (!self.own.is_empty()).then_some((Subject::Own, self.own));
        let route = self.route.map(|(id, limits)| (Subject::Route(id), limits));
        own.into_iter().chain(route)
    }
}

impl Subjects {
    /// Adds one.
    pub(super) fn add(&mut self, subject: Subject) {
        match subject {
            Subject::Own => self.own = true,
            Subject::Route(route) => self.route = Some(route),
        }
    }

    /// Each of them.
    pub(super) fn each(self) -> impl Iterator<Item = Subject> {
        let own = self.own.then_some(Subject::Own);
        own.into_iter().chain(self.route.map(Subject::Route))
    }

    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}
