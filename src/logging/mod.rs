//! Logs by env_logger: a line of text, or of JSON, for each record. Never a prompt, a completion or a key.

mod sink;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};

use env_logger::fmt::Formatter;
use env_logger::fmt::style::Style;
use env_logger::{Target, WriteStyle};
use log::Record;
use log::kv::{self, Key, Value, VisitSource, VisitValue};

use self::sink::Sink;
pub use self::sink::flush;
use crate::config::secrets::Environment;

/// What is logged when `RUST_LOG` does not say: actix tells its own start in lines that we say better, and
/// actix-web-prom warns with every request that the pattern of a path is a regular expression.
const DEFAULT_FILTER: &str = "info,actix_server=warn,actix_web_prom=error";

const QUIET_FILTER: &str = "warn,actix_web_prom=error";

/// Sets up the logger: `RUST_LOG` filters, `GATEWAYZ_LOG_FORMAT=json` asks for JSON.
/// `quiet`: warnings only, where something else is to be seen. Before the process ends, [`flush`] is to be called.
pub fn init(environment: &Environment, quiet: bool) {
    let default = if quiet { QUIET_FILTER } else { DEFAULT_FILTER };
    let filter = environment.get("RUST_LOG").map_or(default, String::as_str);
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    let on_terminal = stderr().is_terminal();
    match environment.get("GATEWAYZ_LOG_FORMAT").map(String::as_str) {
        Some("json") => builder.format(json),
        _ if on_terminal => builder.format(coloured),
        _ => builder.format(plain),
    };
    if !on_terminal && let Ok(sink) = Sink::start() {
        // There are no colours in it, and looking for them to take them out would cost a pass over each line.
        builder.target(Target::Pipe(Box::new(sink))).write_style(WriteStyle::Always);
    }
    builder.init();
}

fn coloured(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let style = out.default_level_style(record.level());
    text(out, record, style)
}

fn plain(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    text(out, record, Style::default())
}

fn text(out: &mut Formatter, record: &Record<'_>, style: Style) -> std::io::Result<()> {
    // In one piece, and without a copy of each field: this is written for every request.
    let mut line = String::with_capacity(512);
    let begun = write!(line, "{} {style}{:5}{style:#} {}", out.timestamp_millis(), record.level(), record.args());
    begun.map_err(std::io::Error::other)?;
    record.key_values().visit(&mut TextFields(&mut line)).map_err(std::io::Error::other)?;
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Appends ` key=value` for each field.
struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(' ');
        self.0.push_str(key.as_str());
        self.0.push('=');
        value.visit(self)
    }
}

/// Appends a value as what it is: most are numbers, and are not made into text first.
impl VisitValue<'_> for &mut TextFields<'_> {
    fn visit_any(&mut self, value: Value) -> Result<(), kv::Error> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        Ok(write!(self.0, "{value}")?)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        Ok(write!(self.0, "{value}")?)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        match is_plain(value) {
            true => self.0.push_str(value),
            false => write!(self.0, "{}", serde_json::Value::from(value))?,
        }
        Ok(())
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
}

fn json(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let mut fields = vec![
        ("timestamp".to_owned(), out.timestamp_millis().to_string().into()),
        ("level".to_owned(), record.level().as_str().to_lowercase().into()),
        ("target".to_owned(), record.target().into()),
        ("message".to_owned(), record.args().to_string().into()),
    ];
    collect(record, &mut fields)?;
    let line: serde_json::Map<String, serde_json::Value> = fields.into_iter().collect();
    writeln!(out, "{}", serde_json::Value::Object(line))
}

fn collect(record: &Record<'_>, fields: &mut Vec<(String, serde_json::Value)>) -> std::io::Result<()> {
    record.key_values().visit(&mut Fields(fields)).map_err(std::io::Error::other)
}

struct Fields<'a>(&'a mut Vec<(String, serde_json::Value)>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match (value.to_u64(), value.to_bool()) {
            (Some(number), _) => number.into(),
            (_, Some(flag)) => flag.into(),
            _ => value.to_string().into(),
        };
        self.0.push((key.as_str().to_owned(), value));
        Ok(())
    }
}
