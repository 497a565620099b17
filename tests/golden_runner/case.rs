//! One case: its files, its options, and how what came out is compared with what was expected.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gatewayz::error::GatewayError;
use gatewayz::translate::dialect::Dialect;
use gatewayz::translate::dropped::Unsupported;
use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::pretty::pretty;

/// What a case sets in `CASE.case.json`; everything has a default.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub dialect: String,
    /// Fields of the dialect that differ for this case.
    pub with: Map<String, Value>,
    pub max_tokens_cap: Option<u64>,
    pub extra_body: Map<String, Value>,
    pub unsupported: Unsupported,
    /// Names of the tools that the request offered.
    pub tools: Vec<String>,
    pub omit_thinking: bool,
    pub tool_buffer: usize,
    /// Bytes of one line of the provider's stream.
    pub max_line: usize,
    /// Whether the usage is our own estimate, since the provider gave none.
    pub estimated: bool,
    /// US dollars that the provider names.
    pub cost: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            dialect: "openrouter".into(),
            with: Map::new(),
            max_tokens_cap: None,
            extra_body: Map::new(),
            unsupported: Unsupported::Drop,
            tools: Vec::new(),
            omit_thinking: false,
            tool_buffer: 8 << 20,
            max_line: 1 << 20,
            estimated: false,
            cost: None,
        }
    }
}

impl Options {
    pub fn dialect(&self) -> Result<Dialect, Failed> {
        let named = Dialect::named(&self.dialect).ok_or_else(|| format!("no dialect {:?}", self.dialect))?;
        let mut fields = serde_json::to_value(named)?;
        let known = fields.as_object_mut().ok_or("a dialect is an object")?;
        for (key, value) in &self.with {
            known.insert(key.clone(), value.clone()).ok_or_else(|| format!("a dialect has no field {key:?}"))?;
        }
        Ok(serde_json::from_value(fields)?)
    }
}

pub struct Case {
    pub name: String,
    folder: PathBuf,
}

impl Case {
    /// The cases of a folder, by name.
    pub fn all(folder: &str) -> Vec<Case> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let names =
            files.filter_map(|file| file.file_name().to_str()?.split_once('.').map(|(name, _)| name.to_owned()));
        let names: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
        names.into_iter().map(|name| Case { name, folder: folder.clone() }).collect()
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    pub fn has(&self, kind: &str) -> bool {
        self.path(kind).exists()
    }

    pub fn read(&self, kind: &str) -> Result<Vec<u8>, Failed> {
        std::fs::read(self.path(kind)).map_err(|error| format!("{}.{kind}: {error}", self.name).into())
    }

    pub fn options(&self) -> Result<Options, Failed> {
        match self.has("case.json") {
            true => Ok(serde_json::from_slice(&self.read("case.json")?)?),
            false => Ok(Options::default()),
        }
    }

    /// Compares what came out with the files of this case: each of `kinds` that is named must hold exactly that,
    /// the others must not exist.
    pub fn expect(&self, kinds: &[&str], outputs: &[(&str, Vec<u8>)]) -> Result<(), Failed> {
        for kind in kinds {
            let output = outputs.iter().find(|(name, _)| name == kind).map(|(_, output)| output);
            if std::env::var_os("GOLDEN_UPDATE").is_some() {
                match output {
                    Some(output) => std::fs::write(self.path(kind), output)?,
                    None if self.has(kind) => std::fs::remove_file(self.path(kind))?,
                    None => {}
                }
                continue;
            }
            match (output, self.has(kind)) {
                (None, false) => {}
                (None, true) => return Err(format!("{}.{kind} is expected, and did not come out", self.name).into()),
                (Some(output), false) => {
                    return Err(format!("no {}.{kind}, but this came out:\n{}", self.name, lossy(output)).into());
                }
                (Some(output), true) => same(&format!("{}.{kind}", self.name), &self.read(kind)?, output)?,
            }
        }
        Ok(())
    }
}

/// A failure as a file: what the client is told, and in which headers.
pub fn told(error: &GatewayError) -> Vec<u8> {
    let (status, kind, should_retry) = error.cause.answer();
    let told = json!({
        "status": status,
        "type": kind,
        "message": error.message,
        "details": error.details,
        "should_retry": should_retry,
        "retry_after": error.retry_after_told(),
    });
    pretty(&told.to_string())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with the lines that differ and what stands around them.
pub fn same(what: &str, expected: &[u8], actual: &[u8]) -> Result<(), Failed> {
    if expected == actual {
        return Ok(());
    }
    let (expected, actual) = (lossy(expected), lossy(actual));
    let (expected, actual): (Vec<&str>, Vec<&str>) = (expected.split('\n').collect(), actual.split('\n').collect());
    let from_start = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
    let shorter = expected.len().min(actual.len()) - from_start;
    let from_end = expected.iter().rev().zip(actual.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
    let mut text = format!("{what} differs (- expected, + came out):\n");
    let mut put = |mark: char, lines: &[&str]| lines.iter().for_each(|line| text.push_str(&format!("{mark} {line}\n")));
    put(' ', &expected[from_start.saturating_sub(3)..from_start]);
    put('-', &expected[from_start..expected.len() - from_end]);
    put('+', &actual[from_start..actual.len() - from_end]);
    put(' ', &expected[expected.len() - from_end..(expected.len() - from_end + 3).min(expected.len())]);
    Err(text.into())
}
