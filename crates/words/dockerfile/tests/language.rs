//! Each rule of the language has its golden test: a Dockerfile, and what it says.

#![allow(clippy::unwrap_used)]

use hull_dockerfile::{Dockerfile, Instruction, Step, trigger};

fn parse(source: &str) -> Dockerfile {
    Dockerfile::parse("Dockerfile", source).unwrap()
}

fn step(text: &str) -> Step {
    parse(&format!("FROM a\n{text}")).stages.remove(0).steps.remove(0)
}

fn error(source: &str) -> (String, (u32, u32)) {
    let error = Dockerfile::parse("Dockerfile", source).unwrap_err();
    (error.to_string(), (error.position.line, error.position.column))
}

fn command(text: &str) -> (Vec<String>, bool) {
    match step(text).instruction {
        Instruction::Run(run) => (run.command.words, run.command.shell),
        Instruction::Cmd(command) | Instruction::Entrypoint(command) => (command.words, command.shell),
        other => panic!("{other:?}"),
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn comments_and_continuations_are_joined() {
    let file = parse(
        "\u{feff}# a comment\r\nFROM a\r\n  # indented\r\n  run echo \\\r\n  # inside\r\n    b \\  \r\n\r\n c\r\nRUN d \\\\\nRUN e\n",
    );
    let texts: Vec<_> = file.stages[0].steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(texts, ["run echo     b  c", "RUN d \\\\", "RUN e"]);
    let first = &file.stages[0].steps[0];
    assert_eq!((first.span.start.line, first.span.start.column, first.span.end_line), (4, 3, 8));
    assert_eq!(first.empty_continuation, Some(7));
    assert_eq!(first.comments, ["indented"]);
}

#[test]
fn directives_come_first_or_are_comments() {
    let file = parse(
        "# syntax = docker/dockerfile:1\n# escape=`\n# check=skip=A;error=true\nFROM a\nRUN b `\n c\\\n",
    );
    assert_eq!(file.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(file.directives.escape, '`');
    let check = file.directives.check.unwrap();
    assert!(check.error && check.skip == ["A"]);
    assert_eq!(file.stages[0].steps[0].text, "RUN b  c\\");
    assert_eq!(parse("# other=1\n# escape=`\nFROM a\n").directives.escape, '\\');
    assert_eq!(parse("\n# escape=`\nFROM a\n").directives.escape, '\\');
    assert_eq!(
        error("# escape=`\n# escape=`\nFROM a\n").0,
        "dockerfile parse error on line 2: only one escape parser directive can be used"
    );
    assert_eq!(
        error("# escape=x\nFROM a\n").0,
        "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\"
    );
}

#[test]
fn stages_and_global_arguments() {
    let file =
        parse("ARG A=1\nARG B\nFROM --platform=linux/$A img:1 AS Build\nRUN x\nFROM build\nFROM scratch\n");
    assert_eq!(file.arguments.len(), 2);
    let names: Vec<_> =
        file.stages.iter().map(|stage| (stage.name.as_deref(), stage.base.as_str())).collect();
    assert_eq!(names, [(Some("build"), "img:1"), (None, "build"), (None, "scratch")]);
    assert_eq!(file.stages[0].platform.as_deref(), Some("linux/$A"));
    assert_eq!(file.stages[0].steps.len(), 1);
    assert_eq!(error("FROM a AS 1x\n").1, (1, 11));
    assert!(error("FROM a b\n").0.ends_with("FROM requires either one or three arguments"));
    assert!(error("RUN x\n").0.ends_with("line 1: no build stage in current context"));
    assert!(error("").0.ends_with("file with no instructions"));
    assert!(error("ARG a\n").0.ends_with("dockerfile contains no stages to build"));
}

#[test]
fn shell_and_json_forms() {
    assert_eq!(command("RUN echo  $x \"a b\""), (words(&["echo  $x \"a b\""]), true));
    assert_eq!(command("RUN [\"a\", \"b c\"]"), (words(&["a", "b c"]), false));
    assert_eq!(command("RUN [a, b]"), (words(&["[a, b]"]), true));
    assert_eq!(command("CMD [\"a\",]"), (words(&["[\"a\",]"]), true));
    assert_eq!(command("CMD []"), (vec![], false));
    assert_eq!(command("ENTRYPOINT [ \"\\u00fc\" ]"), (words(&["ü"]), false));
    assert!(error("FROM a\nRUN [1]\n").0.ends_with("arrays must be comprised of strings only"));
}

#[test]
fn heredocs_in_all_forms() {
    let Instruction::Run(run) = step("RUN <<EOF\na\n# no comment\nb \\\nEOF\nRUN x").instruction else {
        panic!()
    };
    assert_eq!(run.command.words, ["<<EOF"]);
    assert_eq!(run.command.heredocs[0].content, "a\n# no comment\nb \\\n");
    let Instruction::Run(run) = step("RUN <<-\"E F\" 3<<B python3\n\tone\n\tE F\ntwo\nB\n").instruction
    else {
        panic!()
    };
    let documents = &run.command.heredocs;
    assert_eq!((documents[0].name.as_str(), documents[0].expand, documents[0].chomp), ("E F", false, true));
    assert_eq!(documents[0].text(), "one\n");
    assert_eq!((documents[1].descriptor, documents[1].expand), (Some(3), true));
    let Instruction::Copy(copy) = step("COPY <<a.txt <<'b' c /d/\nA $x\na.txt\nB\nb\n").instruction else {
        panic!()
    };
    assert_eq!(copy.sources, ["c"]);
    let inline: Vec<_> = copy.inline.iter().map(|one| (one.name.as_str(), one.text(), one.expand)).collect();
    assert_eq!(inline, [("a.txt", "A $x\n".to_owned(), true), ("b", "B\n".to_owned(), false)]);
    assert_eq!(error("FROM a\nRUN <<EOF\nx\n").0, "dockerfile parse error on line 2: unterminated heredoc");
    assert!(
        error("FROM a\nCOPY a <<EOF\nEOF\n").0.ends_with("COPY cannot accept a heredoc as a destination")
    );
    for plain in ["RUN cat <<<x", "RUN echo '<<EOF'", "RUN echo $((1<<2))", "ENV a=<<EOF"] {
        step(plain);
    }
    let Instruction::OnBuild(text) = step("ONBUILD RUN <<EOF\nx\nEOF\n").instruction else { panic!() };
    assert_eq!(text, "RUN <<EOF\nx\nEOF");
    assert!(matches!(trigger("img", &text).unwrap().instruction, Instruction::Run(_)));
}

#[test]
fn run_has_flags() {
    let text = "RUN --mount=type=cache,target=/c --mount=\"type=secret,id=s\" --network=none --security=insecure --device=a=b,required -- x";
    let Instruction::Run(run) = step(text).instruction else { panic!() };
    assert_eq!(run.mounts, ["type=cache,target=/c", "type=secret,id=s"]);
    assert_eq!((run.network.as_deref(), run.security.as_deref()), (Some("none"), Some("insecure")));
    assert_eq!(run.devices, ["a=b,required"]);
    assert_eq!(run.command.words, ["x"]);
    assert_eq!(
        error("FROM a\nRUN --mount=type=cahce,target=/c x\n"),
        (
            "dockerfile parse error on line 2: unsupported mount type \"cahce\" (did you mean cache?)".into(),
            (2, 5)
        )
    );
    assert!(
        error("FROM a\nRUN --mount=type=cache,target=/x,idd=q x")
            .0
            .ends_with("unexpected key 'idd' in 'idd=q' (did you mean id?)")
    );
    assert!(error("FROM a\nRUN --mount=type=bind x").0.ends_with("invalid mount: target required"));
    assert!(
        error("FROM a\nRUN --mount=type=bind,target=/x,size=1 x")
            .0
            .ends_with("unexpected key 'size' for mount type 'bind'")
    );
    assert!(
        error("FROM a\nRUN --network=hst x")
            .0
            .ends_with("unsupported network mode \"hst\" (did you mean host?)")
    );
    assert!(error("FROM a\nRUN --nework=host x").0.ends_with("unknown flag: nework (did you mean network?)"));
    assert!(error("FROM a\nRUN\n").0.ends_with("RUN requires at least one argument"));
}

#[test]
fn copy_and_add_have_flags() {
    let text = "COPY --from=b --chown=1:2 --chmod=u+x --link --parents --exclude=*.a --exclude=b a b\\ c /d";
    let Instruction::Copy(copy) = step(text).instruction else { panic!() };
    assert_eq!(copy.from.as_deref(), Some("b"));
    assert_eq!((copy.chown.as_deref(), copy.chmod.as_deref()), (Some("1:2"), Some("u+x")));
    assert!(copy.link && copy.parents);
    assert_eq!(copy.exclude, ["*.a", "b"]);
    let Instruction::Add(add) =
        step("ADD --checksum=sha256:x --keep-git-dir=true --unpack=false --link=false [\"a b\", \"/c\"]")
            .instruction
    else {
        panic!()
    };
    assert_eq!((add.sources, add.destination), (words(&["a b"]), "/c".into()));
    assert!(add.keep_git_dir && !add.link && add.unpack == Some(false));
    assert_eq!(
        error("FROM a\nCOPY a\n").0,
        "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined"
    );
    assert_eq!(error("FROM a\nCOPY x \\\n  --chwon=a b c\nCOPY --chwon=a b c\n").1, (4, 6));
    assert!(
        error("FROM a\nCOPY --link=maybe a b")
            .0
            .ends_with("expecting boolean value for flag link, not: maybe")
    );
    assert!(error("FROM a\nCOPY --from a b").0.ends_with("missing a value on flag: from"));
    assert!(error("FROM a\nCOPY --from=a --from=b a b").0.ends_with("duplicate flag specified: from"));
    assert!(error("FROM a\nADD --from=a a b").0.contains("unknown flag: from"));
}

#[test]
fn pairs_are_read_with_quotes_and_in_the_old_form() {
    let pairs = |text: &str| match step(text).instruction {
        Instruction::Env(pairs) | Instruction::Label(pairs) => pairs,
        other => panic!("{other:?}"),
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        pairs("ENV a=1 b=\"x y\" \\\n c=x\\ y d='$q'").pairs,
        [pair("a", "1"), pair("b", "\"x y\""), pair("c", "x\\ y"), pair("d", "'$q'")]
    );
    let old = pairs("ENV a b c  d");
    assert!(old.legacy && old.pairs == [pair("a", "b c  d")]);
    assert_eq!(pairs("LABEL \"a b\"=c").pairs, [pair("\"a b\"", "c")]);
    assert_eq!(error("FROM a\nENV a=1 b\n"), (
        "dockerfile parse error on line 2: Syntax error - can't find = in \"b\". Must be of the form: name=value".into(),
        (2, 9)
    ));
    assert!(error("FROM a\nENV a\n").0.ends_with("ENV must have two arguments"));
    assert!(error("FROM a\nENV =a\n").0.ends_with("ENV names can not be blank"));
    assert!(error("FROM a\nARG\n").0.ends_with("ARG requires at least one argument"));
}

#[test]
fn the_other_instructions() {
    let file = parse(
        "FROM a\nARG a b=1\nEXPOSE 80 90-91/udp\nVOLUME /a /b\nVOLUME [\"/c\"]\nUSER a:b\nWORKDIR /a b\nSTOPSIGNAL 9\nSHELL [\"x\"]\nMAINTAINER a <b>\n",
    );
    let said: Vec<String> =
        file.stages[0].steps.iter().map(|step| format!("{:?}", step.instruction)).collect();
    assert_eq!(
        said,
        [
            "Arg([Argument { name: \"a\", default: None }, Argument { name: \"b\", default: Some(\"1\") }])",
            "Expose([\"80\", \"90-91/udp\"])",
            "Volume([\"/a\", \"/b\"])",
            "Volume([\"/c\"])",
            "User(\"a:b\")",
            "Workdir(\"/a b\")",
            "StopSignal(\"9\")",
            "Shell([\"x\"])",
            "Maintainer(\"a <b>\")",
        ]
    );
    assert!(error("FROM a\nSHELL x\n").0.ends_with("SHELL requires the arguments to be in JSON form"));
    assert!(error("FROM a\nUSER\n").0.ends_with("USER requires exactly one argument"));
    assert!(error("FROM a\nUSER --x a\n").0.contains("unknown flag: x"));
}

#[test]
fn health_checks() {
    let check = |text: &str| match step(text).instruction {
        Instruction::Healthcheck(check) => check,
        other => panic!("{other:?}"),
    };
    let full = check(
        "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1s --start-interval=2s --retries=5 CMD [\"a\", \"b\"]",
    );
    assert_eq!(full.test, ["CMD", "a", "b"]);
    assert_eq!((full.interval, full.timeout, full.retries), (90_000_000_000, 500_000_000, 5));
    assert_eq!(check("HEALTHCHECK CMD curl x || exit 1").test, ["CMD-SHELL", "curl x || exit 1"]);
    assert_eq!(check("HEALTHCHECK none").test, ["NONE"]);
    for (text, message) in [
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK X y", "Unknown type \"X\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --intervall=1s CMD x", "unknown flag: intervall (did you mean interval?)"),
    ] {
        assert!(error(&format!("FROM a\n{text}\n")).0.ends_with(message), "{text}");
    }
}

#[test]
fn triggers_wait_but_are_checked() {
    let Instruction::OnBuild(text) = step("ONBUILD COPY --from=x a b").instruction else { panic!() };
    assert_eq!(text, "COPY --from=x a b");
    assert!(
        error("FROM a\nONBUILD ONBUILD RUN x\n")
            .0
            .ends_with("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    );
    assert!(error("FROM a\nONBUILD FROM x\n").0.ends_with("FROM isn't allowed as an ONBUILD trigger"));
    assert!(error("FROM a\nONBUILD NOPE\n").0.contains("unknown instruction: NOPE"));
    assert!(trigger("img", "FROM x").is_err() && trigger("img", "RUN a\nRUN b").is_err());
}

#[test]
fn unknown_words_name_the_nearest() {
    let error = Dockerfile::parse("sub/Dockerfile", "# x\n\n  FORM a\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "dockerfile parse error on line 3: unknown instruction: FORM (did you mean FROM?)"
    );
    let excerpt = error.excerpt("# x\n\n  FORM a\n");
    assert!(excerpt.starts_with("sub/Dockerfile:3:3\n--------------------\n   1 |     # x\n"), "{excerpt}");
    assert!(excerpt.contains("   3 | >>>   FORM a\n     |       ^\n"), "{excerpt}");
    assert!(excerpt.contains("expected ADD, ARG,"), "{excerpt}");
}

#[test]
fn every_wrong_word_names_the_nearest() {
    // Each instruction with two letters of its word changed places.
    for word in hull_dockerfile::WORDS {
        let mut letters: Vec<char> = word.chars().collect();
        letters.swap(0, 1);
        let wrong: String = letters.into_iter().collect();
        let (text, place) = error(&format!("FROM a\n{wrong} x\n"));
        assert!(text.ends_with(&format!("unknown instruction: {wrong} (did you mean {word}?)")), "{text}");
        assert_eq!(place, (2, 1));
    }
    for (line, wanted) in [
        ("COPY --form=a b c", "unknown flag: form (did you mean from?)"),
        ("COPY --chonw=1 b c", "unknown flag: chonw (did you mean chown?)"),
        ("COPY --chmdo=1 b c", "unknown flag: chmdo (did you mean chmod?)"),
        ("COPY --linc b c", "unknown flag: linc (did you mean link?)"),
        ("COPY --parent b c", "unknown flag: parent (did you mean parents?)"),
        ("COPY --exlude=x b c", "unknown flag: exlude (did you mean exclude?)"),
        ("ADD --checksm=x b c", "unknown flag: checksm (did you mean checksum?)"),
        ("ADD --keep-git-dri=true b c", "unknown flag: keep-git-dri (did you mean keep-git-dir?)"),
        ("ADD --unpak=true b c", "unknown flag: unpak (did you mean unpack?)"),
        ("RUN --mout=type=tmpfs,target=/x y", "unknown flag: mout (did you mean mount?)"),
        ("RUN --securty=insecure y", "unknown flag: securty (did you mean security?)"),
        ("RUN --security=insecur y", "(did you mean insecure?)"),
        ("RUN --devise=x y", "unknown flag: devise (did you mean device?)"),
        ("RUN --mount=type=secrt,id=x y", "unsupported mount type \"secrt\" (did you mean secret?)"),
        ("RUN --mount=type=cache,target=/x,sharing=shred y", "(did you mean shared?)"),
        ("HEALTHCHECK --timout=1s CMD x", "unknown flag: timout (did you mean timeout?)"),
        ("HEALTHCHECK --retrys=1 CMD x", "unknown flag: retrys (did you mean retries?)"),
        ("FROM --platfrom=x a", "unknown flag: platfrom (did you mean platform?)"),
    ] {
        let (text, place) = error(&format!("FROM a\n{line}\n"));
        assert!(text.ends_with(wanted), "{line}: {text}");
        assert_eq!(place.0, 2, "{line}");
    }
}
