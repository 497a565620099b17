//! The text of `/metrics`, read.

use std::collections::BTreeMap;

/// All series with their values.
#[derive(Debug)]
pub struct Exposition {
    series: BTreeMap<String, f64>,
    /// By family: what HELP and TYPE say.
    pub help: BTreeMap<String, String>,
    pub kinds: BTreeMap<String, String>,
}

impl Exposition {
    pub fn read(text: &str) -> Exposition {
        let mut read = Exposition { series: BTreeMap::new(), help: BTreeMap::new(), kinds: BTreeMap::new() };
        for line in text.lines() {
            let words = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                read.help.extend(words(rest));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                read.kinds.extend(words(rest));
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no sample"));
                let value = value.parse().unwrap_or_else(|_| panic!("{line:?} has no value"));
                assert!(read.series.insert(series.to_owned(), value).is_none(), "{series} stands twice");
            }
        }
        read
    }

    /// The value of `name{labels}` as it stands in the text; 0 when it is not there.
    pub fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or(0.0)
    }

    pub fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// The series of a family, without `_bucket`, `_sum` and `_count`.
    pub fn of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let of_family = move |series: &&String| series.split('{').next() == Some(family);
        self.series.keys().filter(of_family).map(|series| (series.as_str(), self.series[series]))
    }

    /// The sum over all series of a family.
    pub fn sum(&self, family: &str) -> f64 {
        self.of(family).map(|(_, value)| value).sum()
    }

    /// The names that samples have, with what a histogram appends taken off.
    pub fn families(&self) -> Vec<String> {
        let family = |series: &String| {
            let name = series.split('{').next().unwrap_or_default();
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            bare.filter(|bare| self.kinds.get(*bare).is_some_and(|kind| kind == "histogram")).unwrap_or(name).to_owned()
        };
        let mut names: Vec<String> = self.series.keys().map(family).collect();
        names.dedup();
        names
    }

    /// Every value that a label has anywhere.
    pub fn label_values(&self, label: &str) -> Vec<String> {
        let marker = format!("{label}=\"");
        let value = |series: &String| {
            let at = series.match_indices(&marker).map(|(at, _)| at).find(|at| {
                let before = series[..*at].chars().next_back();
                matches!(before, Some('{' | ','))
            })?;
            Some(series[at + marker.len()..].split('"').next()?.to_owned())
        };
        let mut values: Vec<String> = self.series.keys().filter_map(value).collect();
        values.sort();
        values.dedup();
        values
    }
}
