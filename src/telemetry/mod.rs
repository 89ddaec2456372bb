//! What the gateway tells of itself: metrics and logs. No secret ever passes here.
