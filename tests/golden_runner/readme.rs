//! The list of traps keeps its promise: every trap stands in it, and the cases and files that it names exist.

use std::path::Path;

use libtest_mimic::Failed;

use crate::case::Case;

const TRAPS: usize = 80;
const README: &str = include_str!("../golden/README.md");

pub fn check() -> Result<(), Failed> {
    let rows: Vec<&str> = README.lines().filter(|line| line.starts_with("| T")).collect();
    for (at, row) in rows.iter().enumerate() {
        let number = at + 1;
        if !row.starts_with(&format!("| T{number} | ")) {
            return Err(format!("T{number} is expected here: {row}").into());
        }
        let tests = row.rsplit('|').nth(1).unwrap_or_default();
        for name in tests.split('`').skip(1).step_by(2) {
            let exists = match name.split_once('/') {
                Some(("tests", _)) => Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists(),
                Some((folder, start)) => Case::all(folder).iter().any(|case| case.name.starts_with(start)),
                // The name of a test, or of the module that it stands in.
                None => true,
            };
            if !exists {
                return Err(format!("T{number} names {name}, and there is none").into());
            }
        }
    }
    match rows.len() {
        TRAPS => Ok(()),
        count => Err(format!("{count} of {TRAPS} traps are listed").into()),
    }
}
