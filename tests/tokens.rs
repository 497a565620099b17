//! The estimate of tokens against counts of real tokenizers.
//!
//! `tests/tokens/counts.tsv` holds what `tiktoken-rs` 0.12 counts in each sample, measured once.

use std::path::Path;

use gatewayz::tokens::estimate;

/// How far the estimate may be off.
const TOLERANCE: f64 = 0.25;

#[test]
fn the_estimate_is_within_a_quarter_of_o200k() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens");
    let counts = std::fs::read_to_string(folder.join("counts.tsv")).unwrap();
    let mut failures = Vec::new();
    for line in counts.lines().skip(1) {
        let [name, _cl100k, o200k] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let real: f64 = o200k.parse().unwrap();
        let estimated = estimate(&std::fs::read_to_string(folder.join(name)).unwrap()) as f64;
        let off = estimated / real - 1.0;
        println!("{name:28} {real:5} {estimated:5} {:+.0} %", off * 100.0);
        if off.abs() > TOLERANCE {
            failures.push(format!("{name}: {estimated} for {real}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
