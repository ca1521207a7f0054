//! Hull's command line against Docker's own: the same words to both, the same engine (a fake one that answers from
//! a table), and what each says, sends and exits with.
//!
//! Where the docker CLI is not installed (or is another version), the comparisons with it are left out and only the
//! recorded requests count. `HULL_RECORD=1` records them anew from the docker CLI at hand.

#![allow(clippy::print_stdout)]

mod cases;
mod engine;
mod programs;

use engine::Engine;
use programs::{Program, Said};
use serde_json::Value;
use std::collections::BTreeMap;

fn main() {
    if let Some(code) = programs::be_the_program() {
        std::process::exit(code);
    }
    // Any filter means that somebody runs single tests by name: these have none.
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    let docker = Program::docker();
    let mut report = Report::default();
    create_requests(docker.as_ref(), &mut report);
    if let Some(docker) = &docker {
        said_of_mistakes(docker, &mut report);
        helps(docker, &mut report);
        said_of_answers(docker, &mut report);
    } else {
        println!("no docker CLI {} here: only the recorded requests were compared", programs::VERSION);
    }
    report.end();
}

#[derive(Default)]
struct Report {
    compared: usize,
    differences: Vec<String>,
}

impl Report {
    fn compare(&mut self, what: &str, hull: &str, docker: &str) {
        self.compared += 1;
        if hull != docker {
            self.differences.push(format!("{what}\n  hull:   {hull:?}\n  docker: {docker:?}"));
        }
    }
    fn said(&mut self, words: &[&str], hull: &Said, docker: &Said) {
        let what = words.join(" ");
        self.compare(&format!("{what}: exit code"), &hull.code.to_string(), &docker.code.to_string());
        self.compare(&format!("{what}: output"), &hull.output, &docker.output);
        self.compare(&format!("{what}: errors"), &hull.errors, &docker.errors);
    }
    fn end(self) {
        for difference in &self.differences {
            println!("DIFFERENT {difference}");
        }
        println!("{} comparisons, {} differences", self.compared, self.differences.len());
        if !self.differences.is_empty() {
            std::process::exit(1);
        }
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/create-requests.json");

/// What `create` sends, field by field.
fn create_requests(docker: Option<&Program>, report: &mut Report) {
    let engine = Engine::start();
    let files = cases::Files::new();
    let mut golden: BTreeMap<String, Value> =
        std::fs::read(GOLDEN).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let record = std::env::var_os("HULL_RECORD").is_some();
    for line in cases::CREATE {
        let words = files.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(docker) = docker {
            let said = docker.run(&engine.address(), &words);
            let sent = sent_or_said(&engine, &said, &files);
            if record {
                golden.insert((*line).into(), sent);
            } else {
                let known = golden.get(*line).cloned().unwrap_or(Value::Null);
                report.compare(&format!("{line}: recorded request"), &known.to_string(), &sent.to_string());
            }
        }
        let said = Program::hull().run(&engine.address(), &words);
        let sent = sent_or_said(&engine, &said, &files);
        let Some(wanted) = golden.get(*line) else {
            report.compare(&format!("{line}: not recorded"), "", "?");
            continue;
        };
        for (path, hull, docker) in differences("", &sent, wanted) {
            report.compare(&format!("{line}: {path}"), &hull, &docker);
        }
        report.compared += 1;
    }
    if record {
        let text = serde_json::to_string_pretty(&golden).expect("recorded requests are JSON");
        std::fs::write(GOLDEN, text + "\n").expect("the record can be written");
    }
}

/// The request, or what was said instead.
fn sent_or_said(engine: &Engine, said: &Said, files: &cases::Files) -> Value {
    match engine.sent_to("/containers/create") {
        Some(body) => normalized(&files.neutral(&body)),
        None => Value::String(files.neutral(&said.errors)),
    }
}

/// Lists that come out of Go's maps have no order. Docker leaves an empty `Runtime` out; Hull's struct is the one
/// that inspect answers with, where it never is.
fn normalized(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    if value.pointer("/HostConfig/Runtime") == Some(&Value::String(String::new()))
        && let Some(host) = value.pointer_mut("/HostConfig").and_then(Value::as_object_mut)
    {
        host.retain(|key, _| key != "Runtime");
    }
    for pointer in ["/Env", "/HostConfig/Binds", "/HostConfig/Ulimits"] {
        if let Some(Value::Array(list)) = value.pointer_mut(pointer) {
            list.sort_by_key(Value::to_string);
        }
    }
    value
}

fn differences(path: &str, hull: &Value, docker: &Value) -> Vec<(String, String, String)> {
    match (hull, docker) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut keys: Vec<_> = ours.keys().chain(theirs.keys()).collect();
            keys.sort();
            keys.dedup();
            let absent = Value::String("(absent)".into());
            let each = keys.into_iter().flat_map(|key| {
                let (ours, theirs) = (ours.get(key).unwrap_or(&absent), theirs.get(key).unwrap_or(&absent));
                differences(&format!("{path}/{key}"), ours, theirs)
            });
            each.collect()
        }
        _ if hull == docker => Vec::new(),
        _ => vec![(path.to_owned(), hull.to_string(), docker.to_string())],
    }
}

/// Command lines that are wrong, and right ones without an engine.
fn said_of_mistakes(docker: &Program, report: &mut Report) {
    for line in cases::MISTAKES {
        let words = cases::split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let nowhere = "unix:///nonexistent/engine.sock";
        report.said(&words, &Program::hull().run(nowhere, &words), &docker.run(nowhere, &words));
    }
}

/// The help of every command that Hull has.
fn helps(docker: &Program, report: &mut Report) {
    for path in cases::all_commands() {
        let mut words: Vec<&str> = path.split(' ').collect();
        words.push("--help");
        let theirs = docker.run("unix:///nonexistent/engine.sock", &words);
        // Commands of Hull's own have no counterpart.
        if theirs.code == 0
            && theirs.output.starts_with(&format!("Usage:  docker {path}"))
            && !cases::HULL_HELP.contains(&path.as_str())
        {
            report.said(&words, &Program::hull().run("unix:///nonexistent/engine.sock", &words), &theirs);
        }
    }
}

/// The calls that change something, one per line. Hull leaves out some that only look, and `run -d` waits for nothing.
fn significant(line: &str, calls: Vec<engine::Call>) -> String {
    let detached = line.starts_with("run -d");
    let counts = |call: &engine::Call| {
        let looks = call.method == "GET" && (!line.starts_with("ps") && !line.starts_with("logs"));
        !(looks || detached && call.path.ends_with("/wait"))
    };
    let shown = |call: engine::Call| {
        let body =
            if call.body.trim().is_empty() { String::new() } else { normalized(&call.body).to_string() };
        // Whether a container is named as it was given or by its id is the same to the engine.
        let path = call.path.replace(engine::ID, "web");
        format!("{} {path} {} {body}", call.method, call.query.join("&"))
    };
    let mut lines: Vec<_> = calls.into_iter().filter(counts).map(shown).collect();
    // Calls that are made side by side come in any order.
    lines.sort();
    lines.join("\n")
}

/// What is made of the engine's answers, and which calls are made for it.
fn said_of_answers(docker: &Program, report: &mut Report) {
    let engine = Engine::start();
    let files = cases::Files::new();
    for line in cases::ANSWERED {
        let words = files.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let theirs = docker.run(&engine.address(), &words);
        let their_calls = engine.calls();
        let ours = Program::hull().run(&engine.address(), &words);
        let our_calls = engine.calls();
        report.said(&words, &ours, &theirs);
        let (ours, theirs) = (significant(line, our_calls), significant(line, their_calls));
        report.compare(&format!("{line}: calls"), &ours, &theirs);
    }
}
