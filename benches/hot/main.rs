//! The steps that every request takes, each alone: `cargo bench --bench hot`.

#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

mod steps;

use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench]
fn parse_a_secret(bencher: Bencher) {
    bencher.bench_local(steps::keys::parse());
}

#[divan::bench]
fn digest_a_secret(bencher: Bencher) {
    bencher.bench_local(steps::keys::digest());
}

#[divan::bench]
fn hit_the_key_table(bencher: Bencher) {
    bencher.bench_local(steps::keys::hit());
}

#[divan::bench]
fn look_at_the_keys_of_ten_thousand_streams(bencher: Bencher) {
    bencher.bench_local(steps::keys::look_at_streams());
}

#[divan::bench(args = [false, true])]
fn ask_when_to_rotate(bencher: Bencher, scheduled: bool) {
    bencher.bench_local(steps::keys::rotate_by(scheduled));
}

#[divan::bench]
fn note_a_use(bencher: Bencher) {
    bencher.bench_local(steps::keys::note_a_use());
}

#[divan::bench(args = ["/v1/agents/a1b2c3d4/runs", "/v1/agents/caf%c3%a9%20%31/runs"])]
fn canonical_path(bencher: Bencher, path: &'static str) {
    bencher.bench_local(steps::way::canonical_path(path));
}

#[divan::bench(args = [10, 10_000])]
fn match_a_route_among(bencher: Bencher, routes: usize) {
    bencher.bench_local(steps::way::match_a_route(routes));
}

#[divan::bench]
fn headers_to_upstream(bencher: Bencher) {
    bencher.bench_local(steps::way::headers_to_upstream());
}

#[divan::bench(args = [9, 200])]
fn check_scopes_in_a_catalogue_of(bencher: Bencher, scopes: usize) {
    bencher.bench_local(steps::rights::scopes(scopes));
}

#[divan::bench]
fn step_three_windows(bencher: Bencher) {
    bencher.bench_local(steps::rights::three_windows());
}

#[divan::bench]
fn refuse_at_a_window(bencher: Bencher) {
    bencher.bench_local(steps::rights::refuse_at_a_window());
}

#[divan::bench(args = ["/v1/agents/a1b2c3d4/runs", "/v1/agents?name=caf%c3%a9&limit=50"])]
fn keep_a_refusal(bencher: Bencher, target: &'static str) {
    bencher.bench_local(steps::way::keep_a_refusal(target));
}

// No more than the journal's one segment has room for.
#[divan::bench(sample_count = 500, sample_size = 1_000)]
fn write_to_the_usage_journal(bencher: Bencher) {
    bencher.bench_local(steps::books::write_to_the_journal());
}

#[divan::bench]
fn set_aside_and_settle(bencher: Bencher) {
    bencher.bench_local(steps::books::set_aside_and_settle());
}
