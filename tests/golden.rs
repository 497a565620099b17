//! Runs every pair of files in `tests/golden/`: a case needs no code. See `tests/golden/README.md`.
//!
//! `cargo test --test golden t12` runs the cases of one trap; with `GOLDEN_UPDATE=1` what comes out is written
//! over what was expected, to be read by eye before it is believed.

#[path = "golden_runner/case.rs"]
mod case;
#[path = "golden_runner/pretty.rs"]
mod pretty;
#[path = "protocol/mod.rs"]
mod protocol;
#[path = "golden_runner/readme.rs"]
mod readme;
#[path = "golden_runner/relay.rs"]
mod relay;
#[path = "golden_runner/verbs.rs"]
mod verbs;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::Case;

type Verb = fn(&Case) -> Result<(), Failed>;

fn main() {
    let verbs: [(&str, Verb); 4] = [
        ("request", verbs::request),
        ("response", verbs::response),
        ("stream", verbs::stream),
        ("error", verbs::error),
    ];
    let trials = verbs.into_iter().flat_map(|(folder, verb)| {
        let cases = Case::all(folder).into_iter();
        cases.map(move |case| Trial::test(format!("{folder}::{}", case.name), move || verb(&case)))
    });
    let list = Trial::test("every_trap_is_listed_with_its_cases", readme::check);
    libtest_mimic::run(&Arguments::from_args(), trials.chain([list]).collect()).exit();
}
