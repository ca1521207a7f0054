//! The daemon's own log, to standard error: for people, or a JSON object a line (`--log-format json`).

use crate::config::Config;
use hull_types::Timestamp;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What takes another configuration's level.
pub type SetLevel = Box<dyn Fn(&Config)>;

/// Libraries are quieter than Hull: what they say at `debug` may hold what clients sent.
fn filter(config: &Config) -> EnvFilter {
    let level = match config.log_level.as_str() {
        _ if config.debug => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "panic" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    EnvFilter::builder()
        .parse_lossy(format!("{level},hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,h2=warn"))
}

/// Starts it.
pub fn start(config: &Config) -> SetLevel {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    // Where a log is running already (in tests) that one goes on.
    if config.log_json {
        let log = log.event_format(JsonLines).with_env_filter(filter(config)).with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Box::new(move |config| drop(handle.reload(filter(config))))
    } else {
        let log = log.with_target(false).with_timer(Clock);
        let log = log.with_env_filter(filter(config)).with_filter_reloading();
        let handle = log.reload_handle();
        let _ = log.try_init();
        Box::new(move |config| drop(handle.reload(filter(config))))
    }
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Timestamp::now().with_nine_digits())
    }
}

/// `{"level":"info","msg":"…","time":"…"}`, and the event's fields.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = serde_json::Map::new();
        let level = match *event.metadata().level() {
            Level::WARN => "warning".to_owned(),
            level => level.as_str().to_ascii_lowercase(),
        };
        line.insert("level".into(), level.into());
        event.record(&mut Fields(&mut line));
        line.insert("time".into(), Timestamp::now().to_string().into());
        writeln!(writer, "{}", serde_json::Value::Object(line))
    }
}

struct Fields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.into(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_have_dockers_keys() {
        let lines = Lines::default();
        let sink = lines.clone();
        let log =
            tracing_subscriber::fmt().with_writer(move || sink.clone()).event_format(JsonLines).finish();
        tracing::subscriber::with_default(log, || tracing::warn!(route = "x", "a \"quoted\" {}", "word"));
        let line: serde_json::Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["route"]), (&"warning".into(), &"x".into()));
        assert_eq!(line["msg"], "a \"quoted\" word");
    }
}
