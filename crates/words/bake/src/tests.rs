//! Bake files, as buildx's reference shows them.

use crate::{Entry, File, Listed, Options, Plan, Result, list, load};
use serde_json::{Value, json};

fn options<'a>(targets: &'a [String], overrides: &'a [String]) -> Options<'a> {
    fn variable(name: &str) -> Option<String> {
        match name {
            "FROM_ENVIRONMENT" => Some("yes".into()),
            "COUNT" => Some("7".into()),
            "LIST" => Some("a,\"b,c\"".into()),
            "DEEP_JSON" => Some(r#"{"x":[1,2]}"#.into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }
    Options {
        targets,
        overrides,
        variable: &variable,
        platform: "linux/amd64",
        command_context: "/here",
        dotenv: DOTENV,
    }
}

const DOTENV: &str = "# of compose alone\nDOT_TAG=v1 # the tag\nexport DOT_FULL=\"${DOT_TAG}-${COUNT}\\n\"\nDOT_RAW='$x \"'\n\
                      COUNT=8\nFROM_ENVIRONMENT\nDOT_EMPTY=\nDOT_YAML: y\nDOT_HASH=a#b\n";

fn plan(files: &[(&str, &str)], targets: &[&str], overrides: &[&str]) -> Result<Plan> {
    let files: Vec<File<'_>> = files.iter().map(|&(name, text)| File { name, text }).collect();
    let targets: Vec<String> = targets.iter().map(|&name| name.into()).collect();
    let overrides: Vec<String> = overrides.iter().map(|&text| text.into()).collect();
    load(&files, &options(&targets, &overrides))
}

fn target(files: &[(&str, &str)], name: &str, overrides: &[&str]) -> Value {
    plan(files, &[name], overrides).unwrap().to_json()["target"][name].clone()
}

// The value of one expression, as a label.
fn value(expression: &str) -> String {
    let text = format!("target \"t\" {{\n labels = {{ v = {expression} }}\n}}");
    match plan(&[("bake.hcl", &text)], &["t"], &[]) {
        Ok(plan) => plan.targets["t"].labels["v"].clone(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn groups_inheritance_and_defaults_are_printed_as_buildx_does() {
    let file = r#"
        variable "TAG" { default = "latest" }
        group "default" { targets = ["web", "db"] }
        target "base" {
          args = { A = "1", B = null }
          labels = { l = "base" }
          tags = ["base"]
          cache-from = ["x"]
        }
        target "web" {
          inherits = ["base"]
          dockerfile = "Dockerfile.web"
          args = { C = "${TAG}-x" }
          tags = ["web:${TAG}"]
          cache-from = ["type=local,src=c"]
          output = ["type=docker"]
        }
        target "db" {
          context = "db"
          no-cache = true
          args = { v = target.base.args.A }
        }
    "#;
    let printed = plan(&[("docker-bake.hcl", file)], &[], &[]).unwrap().to_json();
    let wanted = json!({
        "group": { "default": { "targets": ["web", "db"] } },
        "target": {
            "db": { "context": "db", "dockerfile": "Dockerfile", "args": { "v": "1" }, "no-cache": true },
            "web": {
                "context": ".",
                "dockerfile": "Dockerfile.web",
                "args": { "A": "1", "C": "latest-x" },
                "labels": { "l": "base" },
                "tags": ["web:latest"],
                "cache-from": [{ "type": "registry", "ref": "x" }, { "type": "local", "src": "c" }],
                "output": [{ "type": "docker" }],
            },
        },
    });
    assert_eq!(printed, wanted);
    assert_eq!(plan(&[("docker-bake.hcl", file)], &["db"], &[]).unwrap().wanted, ["db"]);
}

#[test]
fn a_json_file_says_the_same_and_a_plan_can_be_read_again() {
    let file = r#"{
        "variable": { "TAG": { "default": "latest" }, "N": { "default": 2 } },
        "function": { "twice": { "params": ["x"], "result": "${x * 2}" } },
        "group": { "default": { "targets": ["app"] } },
        "target": { "app": { "tags": ["a:${TAG}"], "args": { "n": "${twice(N)}", "dollar": "$${x}" } } }
    }"#;
    let first = plan(&[("docker-bake.json", file)], &[], &[]).unwrap();
    assert_eq!(first.targets["app"].args["n"], "4");
    assert_eq!(first.targets["app"].args["dollar"], "${x}");
    let printed = first.to_json().to_string();
    assert_eq!(plan(&[("again.json", &printed)], &[], &[]).unwrap(), first);
}

#[test]
fn later_files_win_and_globals_set_variables() {
    let first = r#"variable "FOO" { default = "abc" }
        target "app" {
          args = { v1 = "pre-${FOO}", keep = "1" }
          tags = ["one"]
        }"#;
    let second = "WHOAMI=\"myuser\"\nFOO=\"def-${WHOAMI}\"\n";
    let third = "target \"app\" {\n tags = [\"two\"]\n args = { v2 = BAKE_LOCAL_PLATFORM }\n}";
    let files = [("a.hcl", first), ("b.hcl", second), ("c.hcl", third)];
    let found = target(&files, "app", &[]);
    assert_eq!(found["args"], json!({ "keep": "1", "v1": "pre-def-myuser", "v2": "linux/amd64" }));
    assert_eq!(found["tags"], json!(["two"]));
}

#[test]
fn a_matrix_is_a_group_of_its_cells() {
    let file = r#"target "app" {
        name = "app-${tgt}-${replace(version, ".", "-")}"
        matrix = { tgt = ["foo", "bar"], version = ["1.0", "2.0"] }
        target = tgt
        args = { VERSION = version }
    }"#;
    let found = plan(&[("bake.hcl", file)], &["app"], &[]).unwrap();
    assert_eq!(found.wanted, ["app-foo-1-0", "app-foo-2-0", "app-bar-1-0", "app-bar-2-0"]);
    assert_eq!(found.targets["app-bar-2-0"].args["VERSION"], "2.0");
    assert_eq!(found.groups["default"].targets, ["app"]);
    let same = "target \"app\" {\n name = \"x\"\n matrix = { a = [\"1\", \"2\"] }\n}";
    let error = plan(&[("bake.hcl", same)], &["app"], &[]).unwrap_err().to_string();
    assert!(error.contains("several cells"), "{error}");
}

#[test]
fn overrides_set_append_and_fit_patterns() {
    let file = r#"target "app" {
          tags = ["a"]
          args = { x = "1" }
        }
        target "app2" { inherits = ["app"] }"#;
    let set = [
        "app*.args.x=2",
        "app.tags+=b",
        "app.platform=linux/arm64",
        "app.platform=linux/amd64",
        "app.push=true",
    ];
    let found = target(&[("bake.hcl", file)], "app", &set);
    assert_eq!(found["tags"], json!(["a", "b"]));
    assert_eq!(found["platforms"], json!(["linux/arm64", "linux/amd64"]));
    assert_eq!(found["output"], json!([{ "type": "image", "push": "true" }]));
    assert_eq!(target(&[("bake.hcl", file)], "app2", &set)["args"]["x"], "2");
    assert_eq!(
        target(&[("bake.hcl", file)], "app", &["app.args.FROM_ENVIRONMENT"])["args"]["FROM_ENVIRONMENT"],
        "yes"
    );
    for (wrong, wanted) in [
        ("nope.tags=x", "could not find any target matching 'nope'"),
        ("app=x", "invalid override key app, expected target.name"),
        ("app.tags", "invalid override app.tags, expected target.name=value"),
        ("app.color=red", "unknown key: color"),
        ("app.args=1", "invalid key args, args requires name"),
        ("app.pull=maybe", "invalid value maybe for boolean key pull"),
    ] {
        assert_eq!(plan(&[("bake.hcl", file)], &["app"], &[wrong]).unwrap_err().to_string(), wanted);
    }
}

#[test]
fn variables_have_types_validations_and_the_environments_values() {
    let file = r#"
        variable "COUNT" { default = 1 }
        variable "LIST" {
          type = list(string)
          default = []
        }
        variable "DEEP" {
          type = any
          default = null
        }
        variable "PLAIN" {}
        target "t" { labels = { n = COUNT + 1, l = join("|", LIST), d = DEEP.x[1], p = "<${PLAIN}>" } }
    "#;
    let found = target(&[("bake.hcl", file)], "t", &[]);
    assert_eq!(found["labels"], json!({ "n": "8", "l": "a|b,c", "d": "2", "p": "<>" }));
    let checked = r#"
        variable "COUNT" {
          default = 1
          validation {
            condition = COUNT < 5
            error_message = "too many: ${COUNT}"
          }
        }
        target "t" {}
    "#;
    let error = plan(&[("bake.hcl", checked)], &["t"], &[]).unwrap_err().to_string();
    assert_eq!(error, "variable \"COUNT\": too many: 7");
    let typed = "variable \"COUNT\" { type = bool }\ntarget \"t\" {}";
    let error = plan(&[("bake.hcl", typed)], &["t"], &[]).unwrap_err().to_string();
    assert!(error.contains("failed to parse COUNT as bool"), "{error}");
    let listed = list(&[File { name: "b.hcl", text: file }], &options(&[], &[]), true).unwrap();
    assert_eq!(listed[0], Listed { name: "COUNT".into(), value: Some("7".into()), description: None });
}

#[test]
fn circles_end_in_an_error_that_names_them() {
    let error = |text: &str| plan(&[("bake.hcl", text)], &["t"], &[]).unwrap_err().to_string();
    assert!(error("a = b\nb = a\ntarget \"t\" {}").contains("refers to itself"));
    assert!(error("target \"t\" { contexts = { x = \"target:t\" } }").contains("cannot link to itself"));
    let linked =
        "target \"t\" { contexts = { x = \"target:u\" } }\ntarget \"u\" { contexts = { x = \"target:t\" } }";
    assert_eq!(error(linked), "infinite loop from u to t");
    assert_eq!(error("target \"u\" {}"), "failed to find target t");
    let endless = "function \"f\" {\n params = [x]\n result = f(x)\n}\ntarget \"t\" { tags = [f(1)] }";
    assert!(error(endless).contains("calls itself"));
}

#[test]
fn targets_that_are_contexts_are_built_for_those_that_use_them() {
    let file = "target \"base\" { output = [\"type=docker\"] }\ntarget \"app\" { contexts = { b = \"target:base\" } }";
    let found = plan(&[("bake.hcl", file)], &["app"], &[]).unwrap();
    assert_eq!(found.wanted, ["app"]);
    assert_eq!(found.targets["base"].output, [Entry(vec![("type".into(), "cacheonly".into())])]);
}

#[test]
fn compose_services_with_a_build_are_targets() {
    let file = r#"
x-common: &common
  args: { A: "1", FROM_ENVIRONMENT: }
services:
  web.api:
    image: "web:${COUNT:-1}"
    environment: { OWN: "o" }
    build:
      <<: *common
      context: ./web
      additional_contexts: ["base=service:db", "docs=./docs"]
      secrets: [token, {source: other}]
      ssh: ["default", "key=/k"]
      ulimits: { nofile: 1024, nproc: { soft: 1, hard: 2 } }
      extra_hosts: ["h:1.2.3.4"]
      x-bake:
        tags: [ct-addon:foo]
        platforms: linux/amd64 linux/arm64
        no-cache: true
  db:
    build: ./db
  other:
    image: redis
secrets:
  token: { environment: TOKEN }
  other: { file: ./secret }
"#;
    let found = plan(&[("compose.yaml", file)], &[], &[]).unwrap();
    assert_eq!(found.groups["default"].targets, ["web_api", "db"]);
    let wanted = json!({
        "context": "./web",
        "dockerfile": "Dockerfile",
        "args": { "A": "1", "FROM_ENVIRONMENT": "yes" },
        "contexts": { "base": "target:db", "docs": "./docs" },
        "tags": ["ct-addon:foo"],
        "secret": [{ "id": "token", "env": "TOKEN" }, { "id": "other", "src": "./secret" }],
        "ssh": [{ "id": "default" }, { "id": "key", "paths": "/k" }],
        "platforms": ["linux/amd64", "linux/arm64"],
        "no-cache": true,
        "ulimits": ["nofile=1024:1024", "nproc=1:2"],
        "extra-hosts": { "h": "1.2.3.4" },
    });
    assert_eq!(found.to_json()["target"]["web_api"], wanted);
    let plain = "services:\n  a:\n    image: \"x:${COUNT}-$${y}-${NOT:-d${COUNT}}-${EMPTY:+e}${EMPTY+f}\"\n    build: .\n";
    assert_eq!(target(&[("compose.yml", plain)], "a", &[])["tags"], json!(["x:7-${y}-d7-f"]));
    let missing = "services:\n  a:\n    build: ${NOT:?set it}\n";
    let error = plan(&[("compose.yml", missing)], &["a"], &[]).unwrap_err().to_string();
    assert_eq!(error, "failed to parse compose.yml: required variable NOT is missing a value: set it");
}

#[test]
fn expressions_are_hcls() {
    for (expression, wanted) in [
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("-7 % 4", "-3"),
        ("1 / 0", "error: target \"t\", labels: division by zero"),
        ("true && !false ? \"y\" : \"n\"", "y"),
        ("1 == 1.0", "true"),
        ("[1, 2, 3][1]", "2"),
        ("{ a = { b = \"c\" } }.a.b", "c"),
        ("join(\",\", [for x in [1, 2, 3] : x * 2 if x != 2])", "2,6"),
        ("join(\",\", keys({ for k, v in { a = 1, b = 2 } : upper(k) => v }))", "A,B"),
        ("join(\",\", [{ n = \"a\" }, { n = \"b\" }][*].n)", "a,b"),
        ("\"%{ for x in [1, 2] ~} ${x} %{ endfor }\"", "1 2 "),
        ("\"%{ if true }a%{ else }b%{ endif }\"", "a"),
        ("\"$${x}\"", "${x}"),
        ("try(nope, \"d\")", "d"),
        ("can(nope)", "false"),
        ("max([1, 5, 3]...)", "5"),
        ("nope", "error: target \"t\", labels: undefined variable \"nope\""),
        ("nope()", "error: target \"t\", labels: nope: undefined function"),
        ("target.t.nope", "error: target \"t\", labels: the target \"t\" has no attribute \"nope\""),
    ] {
        assert_eq!(value(expression), wanted, "{expression}");
    }
}

#[test]
fn functions_are_buildxs() {
    for (expression, wanted) in [
        ("absolute(-3)", "3"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2)", "-2"),
        ("pow(2, 10)", "1024"),
        ("parseint(\"ff\", 16)", "255"),
        ("title(\"hello world\")", "Hello World"),
        ("trim(\"xxhixx\", \"x\")", "hi"),
        ("trimprefix(\"v1\", \"v\")", "1"),
        ("substr(\"hello\", 1, 3)", "ell"),
        ("substr(\"hello\", -3, -1)", "llo"),
        ("format(\"%s-%03d-%5.2f|%-4s|%q\", \"a\", 7, 3.14159, \"b\", \"c\")", "a-007- 3.14|b   |\"c\""),
        ("join(\",\", formatlist(\"%s-%s\", [\"a\", \"b\"], \"x\"))", "a-x,b-x"),
        ("regex_replace(\"a1b2\", \"[0-9]\", \"_\")", "a_b_"),
        ("regex(\"(\\\\d+)\\\\.(\\\\d+)\", \"v1.22\")[1]", "22"),
        ("join(\",\", regexall(\"[a-z]\", \"1a2b\"))", "a,b"),
        ("basename(\"/a/b/\")", "b"),
        ("dirname(\"/a/b\")", "/a"),
        ("sanitize(\"a.b/c\")", "a_b_c"),
        ("jsonencode({ a = [1, true, null] })", "{\"a\":[1,true,null]}"),
        ("jsondecode(\"{\\\"a\\\":[1]}\").a[0]", "1"),
        ("base64encode(\"hi\")", "aGk="),
        ("base64decode(\"aGk=\")", "hi"),
        ("urlencode(\"a b&c\")", "a+b%26c"),
        ("csvdecode(\"a,b\\n1,2\\n\")[0].b", "2"),
        ("sha1(\"\")", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("uuidv5(\"dns\", \"example.com\")", "cfbff0d1-9375-5685-968c-48ce8b15ae17"),
        ("length(uuidv4()) ", "error: target \"t\", labels: length: collection required, but have string"),
        ("join(\",\", distinct([\"a\", \"b\", \"a\"]))", "a,b"),
        ("join(\",\", setsubtract([\"a\", \"b\"], [\"a\"]))", "b"),
        ("length(setproduct([1, 2], [3, 4, 5]))", "6"),
        ("join(\",\", flatten([[\"a\"], [[\"b\"]]]))", "a,b"),
        ("join(\",\", slice([\"a\", \"b\", \"c\"], 1, 3))", "b,c"),
        ("join(\",\", range(1, 7, 2))", "1,3,5"),
        ("element([\"a\", \"b\"], 3)", "b"),
        ("lookup({ a = 1 }, \"b\", 2)", "2"),
        ("merge({ a = 1 }, { a = 2 }).a", "2"),
        ("timeadd(\"2024-02-28T23:00:00Z\", \"1h30m\")", "2024-02-29T00:30:00Z"),
        (
            "formatdate(\"EEE, DD MMM YYYY hh:mm 'at'\", \"2024-02-29T13:05:00Z\")",
            "Thu, 29 Feb 2024 13:05 at",
        ),
        ("cidrhost(\"10.1.2.0/24\", 5)", "10.1.2.5"),
        ("cidrhost(\"10.1.2.0/24\", -1)", "10.1.2.255"),
        ("cidrnetmask(\"10.0.0.0/12\")", "255.240.0.0"),
        ("cidrsubnet(\"fd00::/48\", 16, 2)", "fd00:0:0:2::/64"),
        ("join(\",\", cidrsubnets(\"10.0.0.0/16\", 8, 4, 8))", "10.0.0.0/24,10.0.16.0/20,10.0.32.0/24"),
    ] {
        assert_eq!(value(expression), wanted, "{expression}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, wanted) in [
        ("target \"a b\" {}", "invalid target name"),
        ("color \"x\" {}", "unknown block \"color\""),
        ("target \"t\" { tagz = [] }", "target \"t\", tagz: unknown attribute"),
        ("target \"t\" { tags = \"x\" }", "target \"t\", tags: list of string required, but have string"),
        ("target \"t\" {", "failed to parse bake.hcl:"),
        ("group \"t\" { matrix = {} }", "not supported for groups"),
        ("target \"t\" { attest = [\"mode=max\"] }", "an attestation needs a type"),
    ] {
        let error = plan(&[("bake.hcl", text)], &["t"], &[]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn entries_are_read_and_written_as_flags() {
    let entry = Entry::parse("type=local,\"dest=a,b\",x=\"\"", "ref");
    assert_eq!(entry.get("dest"), Some("a,b"));
    assert_eq!(
        Entry::parse(&Entry::parse("type=local,\"dest=a,b\"", "ref").to_string(), "ref").get("dest"),
        Some("a,b")
    );
    assert_eq!(Entry::parse("user/app:cache", "ref").to_string(), "ref=user/app:cache");
}

/// Examples of buildx's reference of bake files, and what it says that they come to.
#[test]
fn the_references_examples_come_to_what_it_says() {
    let file = r#"
        variable "VERSION" {
          description = "the release"
          default = null
        }
        variable "COMMIT" { default = "abc" }
        function "tag" {
          params = [name]
          result = ["${name}:${COMMIT}", notequal("", VERSION) && VERSION != null ? "${name}:${VERSION}" : ""]
        }
        group "all" { targets = ["app", "chain", "docs"] }
        target "_release" {
          args = { BUILDKIT_CONTEXT_KEEP_GIT_DIR = 1, GO_VERSION = "1.20" }
          platforms = ["linux/amd64", "linux/arm64"]
          no-cache = true
        }
        target "app-dev" {
          args = { GO_VERSION = "1.19", DEV = "yes" }
          labels = { "com.example.team" = "web" }
          platforms = ["linux/386"]
        }
        target "app" {
          name = "app-${item.tgt}-${replace(item.version, ".", "-")}"
          inherits = ["app-dev", "_release"]
          matrix = { item = [{ tgt = "lint", version = "1.0" }, { tgt = "prod", version = "2.0" }] }
          args = { VERSION = item.version, EMPTY = null }
          target = item.tgt
          tags = compact(tag("example.com/app-${item.tgt}"))
        }
        target "chain" {
          inherits = ["app-dev"]
          contexts = { base = "target:docs", src = "https://github.com/a/b.git" }
          secret = ["type=env,id=KUBECONFIG", { type = "file", id = "aws", src = "~/.aws" }]
          ssh = ["default"]
          attest = ["type=provenance,mode=max", "type=sbom"]
          cache-to = ["type=local,dest=path/to/cache"]
          output = [{ type = "oci", dest = "../out.tar" }]
        }
        target "docs" {
          dockerfile-inline = "FROM alpine\nRUN echo $${HOME}"
          entitlements = ["network.host"]
          extra-hosts = { my_hostname = "8.8.8.8" }
          shm-size = "128m"
          ulimits = ["nofile=1024:1024"]
          network = "host"
          annotations = ["index,manifest:org.opencontainers.image.authors=dvdksn"]
          call = "check"
        }
    "#;
    let printed =
        plan(&[("docker-bake.hcl", file)], &["all"], &["app-prod*.args.DEV=no", "*.labels.ci=1"]).unwrap();
    let cell = |tgt: &str, version: &str, dev: &str| {
        json!({
            "context": ".", "dockerfile": "Dockerfile", "target": tgt,
            "args": { "BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1", "DEV": dev, "GO_VERSION": "1.20", "VERSION": version },
            "labels": { "ci": "1", "com.example.team": "web" },
            "tags": [format!("example.com/app-{tgt}:abc")],
            "platforms": ["linux/amd64", "linux/arm64"], "no-cache": true,
        })
    };
    let wanted = json!({
        "group": {
            "all": { "targets": ["app", "chain", "docs"] },
            "app": { "targets": ["app-lint-1-0", "app-prod-2-0"] },
            "default": { "targets": ["all"] },
        },
        "target": {
            "app-lint-1-0": cell("lint", "1.0", "yes"),
            "app-prod-2-0": cell("prod", "2.0", "no"),
            "chain": {
                "context": ".", "dockerfile": "Dockerfile",
                "args": { "DEV": "yes", "GO_VERSION": "1.19" },
                "labels": { "ci": "1", "com.example.team": "web" },
                "platforms": ["linux/386"],
                "contexts": { "base": "target:docs", "src": "https://github.com/a/b.git" },
                "secret": [{ "type": "env", "id": "KUBECONFIG" }, { "type": "file", "id": "aws", "src": "~/.aws" }],
                "ssh": [{ "id": "default" }],
                "attest": [{ "type": "provenance", "mode": "max" }, { "type": "sbom" }],
                "cache-to": [{ "type": "local", "dest": "path/to/cache" }],
                "output": [{ "type": "oci", "dest": "../out.tar" }],
            },
            "docs": {
                "context": ".", "dockerfile": "Dockerfile",
                "dockerfile-inline": "FROM alpine\nRUN echo $${HOME}",
                "labels": { "ci": "1" },
                "entitlements": ["network.host"],
                "extra-hosts": { "my_hostname": "8.8.8.8" },
                "shm-size": "128m", "ulimits": ["nofile=1024:1024"], "network": "host",
                "annotations": ["index,manifest:org.opencontainers.image.authors=dvdksn"],
                "call": "check",
            },
        },
    });
    assert_eq!(printed.to_json(), wanted);
}

#[test]
fn compose_files_see_dotenv_beneath_the_environment() {
    let file = "services:\n  a:\n    image: \"x:${DOT_TAG}\"\n    build:\n      context: .\n      args:\n        FULL: \"${DOT_FULL}\"\n\
                \x20       RAW: \"${DOT_RAW}\"\n        COUNT: \"${COUNT}\"\n        REST: \"${DOT_EMPTY:-e}${DOT_YAML}${DOT_HASH}\"\n";
    let found = target(&[("compose.yaml", file)], "a", &[]);
    assert_eq!(found["tags"], json!(["x:v1"]));
    let wanted = json!({ "FULL": "v1-7\n", "RAW": "$x \"", "COUNT": "7", "REST": "eya#b" });
    assert_eq!(found["args"], wanted);
    let hcl = "variable \"DOT_TAG\" { default = \"own\" }\ntarget \"t\" { tags = [DOT_TAG] }\n";
    assert_eq!(target(&[("bake.hcl", hcl)], "t", &[])["tags"], json!(["own"]), "compose's alone");
    let parse = |text: &str| crate::dotenv::parse(text, &|_| None, &|text, _| Ok(text.to_owned()));
    assert!(parse("A=\"open").unwrap_err().contains("unterminated") && parse("a b=c").is_err());
}
