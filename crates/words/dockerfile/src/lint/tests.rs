use super::*;
use std::collections::BTreeMap;

fn found(source: &str) -> Vec<String> {
    let file = Dockerfile::parse("Dockerfile", source).unwrap();
    let predefined = BTreeMap::from([("TARGETPLATFORM".to_owned(), "linux/amd64".to_owned())]);
    let globals = Globals::of(&file, &BTreeMap::new(), &predefined).unwrap();
    let ignore = Ignore::parse("secret\n*.log\n").unwrap();
    let env = |_| Some(vec!["PATH=/bin".to_owned(), "BASEVAR=1".to_owned()]);
    let facts = Facts { globals, base_env: Some(&env), ignore: Some(&ignore), check: None };
    lint(&file, &facts)
        .into_iter()
        .map(|finding| {
            assert!(!finding.fix.is_empty(), "{finding:?} has no fix");
            format!("{}:{} {}", finding.rule.name(), finding.span.start.line, finding.message)
        })
        .collect()
}

fn one(source: &str, expected: &str) {
    assert_eq!(found(source), [expected], "{source}");
}

#[test]
fn each_rule_finds_its_mistake() {
    one("FROM a AS Build\n", "StageNameCasing:1 Stage name 'Build' should be lowercase");
    one("FROM a as b\n", "FromAsCasing:1 'as' and 'FROM' keywords' casing do not match");
    one("FROM a\nRUN x \\\n\n  y\n", "NoEmptyContinuation:3 Empty continuation line");
    one(
        "FROM a\nRUN x\nrun y\n",
        "ConsistentInstructionCasing:3 Command 'run' should match the case of the command majority (uppercase)",
    );
    one(
        "FROM a AS b\nFROM a AS b\n",
        "DuplicateStageName:2 Duplicate stage name \"b\", stage names should be unique",
    );
    one(
        "FROM a AS context\n",
        "ReservedStageName:1 Stage name should not use the same name as reserved stage \"context\"",
    );
    one(
        "FROM a\nCMD run it\n",
        "JSONArgsRecommended:2 JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    );
    one(
        "FROM a\nMAINTAINER me\n",
        "MaintainerDeprecated:2 Maintainer instruction is deprecated in favor of using label",
    );
    assert_eq!(
        found("ARG VERSION=1\nFROM a:${VERSIN}x\n"),
        ["UndefinedArgInFrom:2 FROM argument 'VERSIN' is not declared (did you mean VERSION?)"]
    );
    one(
        "FROM a\nWORKDIR app\n",
        "WorkdirRelativePath:2 Relative workdir \"app\" can have unexpected results if the base image changes",
    );
    one(
        "FROM a\nARG DIR=/x\nWORKDIR $DIRR\n",
        "UndefinedVar:3 Usage of undefined variable '$DIRR' (did you mean $DIR?)",
    );
    one(
        "FROM a\nCMD [\"a\"]\nCMD [\"b\"]\n",
        "MultipleInstructionsDisallowed:2 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
    );
    one(
        "FROM a\nENV x y z\n",
        "LegacyKeyValueFormat:2 \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
    );
    one(
        "FROM --platform=$TARGETPLATFORM a\n",
        "RedundantTargetPlatform:1 Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    );
    one(
        "FROM a\nARG API_TOKEN\n",
        "SecretsUsedInArgOrEnv:2 Do not use ARG or ENV instructions for sensitive data (ARG \"API_TOKEN\")",
    );
    one(
        "ARG TAG\nFROM a:$TAG\n",
        "InvalidDefaultArgInFrom:2 Default value for ARG a:$TAG results in empty or invalid base image name",
    );
    one(
        "FROM --platform=linux/amd64 a\n",
        "FromPlatformFlagConstDisallowed:1 FROM --platform flag should not use constant value \"linux/amd64\"",
    );
    one(
        "FROM a\nCOPY secret /\n",
        "CopyIgnoredFile:2 Attempting to Copy file \"secret\" that is excluded by .dockerignore",
    );
    one(
        "# check=experimental=all\n\n# something\nFROM a AS b\n",
        "InvalidDefinitionDescription:4 Comment for build stage should follow the format: `# b <description>`",
    );
    one(
        "FROM a\nEXPOSE 80/TCP\n",
        "ExposeProtoCasing:2 Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
    );
    one(
        "FROM a\nEXPOSE 127.0.0.1:80:80\n",
        "ExposeInvalidFormat:2 EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
    );
}

#[test]
fn what_is_right_is_left_alone() {
    for source in [
        "ARG V=1\nFROM --platform=$BUILDPLATFORM a:${V} AS b\nARG V\nENV A=$BASEVAR B=${V}\nWORKDIR /x\nWORKDIR y\nCMD [\"a\"]\n",
        "FROM --platform=linux/amd64 a AS build-amd64\nFROM build-amd64\nENV PUBLIC_KEY=x\n",
        "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nCMD run\n",
        "FROM a\nRUN echo $NOTHING\nCOPY --from=x secret /\n",
        "FROM a AS b\nWORKDIR /w\nFROM b\nWORKDIR x\n",
        "# check=skip=all\nFROM a\nMAINTAINER x\n",
        "# check=skip=MaintainerDeprecated\nFROM a\nMAINTAINER x\n",
        "# about something\nFROM a AS b\n",
    ] {
        assert_eq!(found(source), [""; 0], "{source}");
    }
}

#[test]
fn rules_have_pages() {
    assert_eq!(Rule::ALL.len(), 21);
    let url = |rule: Rule| rule.url().rsplit('/').nth(1).unwrap().to_owned();
    assert_eq!(url(Rule::JsonArgsRecommended), "json-args-recommended");
    assert_eq!(url(Rule::SecretsUsedInArgOrEnv), "secrets-used-in-arg-or-env");
}
