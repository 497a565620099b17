//! The figures, and the tables that show them.

use std::fmt::Write;
use std::time::Duration;

use super::case::Case;
use super::idle::Idle;

/// What one round of one contender gave.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// CPU of the contender for each request or chunk, in microseconds.
    pub cpu: Option<f64>,
    /// Bytes.
    pub peak: Option<u64>,
}

/// All rounds of one contender in one case.
#[derive(Debug)]
pub struct Result {
    pub case: Case,
    pub contender: String,
    pub rounds: Vec<Round>,
}

/// The middle of several figures, and how far they reach.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(figures: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
        Some(Spread { median, least, most })
    }

    /// The median, and the spread where there is one.
    fn text(self) -> String {
        let places = if self.median < 100.0 { 1 } else { 0 };
        let number = |figure: f64| format!("{figure:.places$}");
        match self.least == self.most {
            true => number(self.median),
            false => format!("{} ({}-{})", number(self.median), number(self.least), number(self.most)),
        }
    }
}

impl Result {
    pub fn per_second(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round.per_second))
    }

    pub fn cpu(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| round.cpu))
    }

    /// Microseconds.
    pub fn p50(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round.p50.as_secs_f64() * 1e6))
    }

    fn p99(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| round.p99.as_secs_f64() * 1e6))
    }

    fn peak(&self) -> Option<u64> {
        self.rounds.iter().filter_map(|round| round.peak).max()
    }
}

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    /// Machine, date, cores, versions.
    pub about: Vec<String>,
    pub results: Vec<Result>,
    pub idle: Vec<Idle>,
    pub problems: Vec<String>,
}

impl Report {
    pub fn of<'a>(&'a self, case: &Case, contender: &str) -> Option<&'a Result> {
        self.results.iter().find(|result| result.case.name == case.name && result.contender == contender)
    }

    /// The cases that were measured, in order.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for result in &self.results {
            if cases.iter().all(|case| case.name != result.case.name) {
                cases.push(result.case);
            }
        }
        cases
    }

    /// A table of everything, in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::from("# Side by side\n\n");
        for line in &self.about {
            let _ = writeln!(out, "- {line}");
        }
        out.push_str(
            "\nMedian of the rounds (least-most). Latency is that of a whole answer. CPU is the contender's own, user and \
             system, for each request, or each chunk of a stream.\n\n\
             | case | connections | contender | answers/s | p50, us | p99, us | CPU, us | peak memory | CPU to nginx | rate to direct |\n\
             |---|--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for result in &self.results {
            let text = |spread: Option<Spread>| spread.map_or_else(none, Spread::text);
            let to = |other: &str, figure: fn(&Result) -> Option<Spread>| {
                let (own, other) = (figure(result)?.median, figure(self.of(&result.case, other)?)?.median);
                Some(format!("{:.2} x", own / other))
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                result.case.about,
                result.case.connections,
                result.contender,
                text(result.per_second()),
                text(result.p50()),
                text(result.p99()),
                result.cpu().map_or_else(none, |cpu| format!("{} / {}", cpu.text(), result.case.unit())),
                result.peak().map_or_else(none, megabytes),
                to("nginx", Result::cpu).unwrap_or_else(none),
                to("direct", Result::per_second).unwrap_or_else(none),
            );
        }
        if !self.idle.is_empty() {
            out.push_str("\n| idle open streams | contender | reached | memory for each |\n|---|---|--:|--:|\n");
        }
        for idle in &self.idle {
            let why = idle.stopped_by.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let _ = writeln!(
                out,
                "| {} asked, one event, then silence | {} | {}{why} | {:.1} KB |",
                idle.size,
                idle.contender,
                idle.streams,
                idle.each / 1024.0
            );
        }
        if !self.problems.is_empty() {
            out.push_str("\nProblems:\n\n");
        }
        for problem in &self.problems {
            let _ = writeln!(out, "- {problem}");
        }
        out
    }
}

fn none() -> String {
    "-".to_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
