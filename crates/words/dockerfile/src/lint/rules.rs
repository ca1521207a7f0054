//! The rules' names and descriptions.

/// A lint rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the rules' own; Rule::description says what each is about")]
pub enum Rule {
    StageNameCasing,
    FromAsCasing,
    NoEmptyContinuation,
    ConsistentInstructionCasing,
    DuplicateStageName,
    ReservedStageName,
    JsonArgsRecommended,
    MaintainerDeprecated,
    UndefinedArgInFrom,
    WorkdirRelativePath,
    UndefinedVar,
    MultipleInstructionsDisallowed,
    LegacyKeyValueFormat,
    RedundantTargetPlatform,
    SecretsUsedInArgOrEnv,
    InvalidDefaultArgInFrom,
    FromPlatformFlagConstDisallowed,
    CopyIgnoredFile,
    InvalidDefinitionDescription,
    ExposeProtoCasing,
    ExposeInvalidFormat,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 21] = [
        Self::StageNameCasing,
        Self::FromAsCasing,
        Self::NoEmptyContinuation,
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ReservedStageName,
        Self::JsonArgsRecommended,
        Self::MaintainerDeprecated,
        Self::UndefinedArgInFrom,
        Self::WorkdirRelativePath,
        Self::UndefinedVar,
        Self::MultipleInstructionsDisallowed,
        Self::LegacyKeyValueFormat,
        Self::RedundantTargetPlatform,
        Self::SecretsUsedInArgOrEnv,
        Self::InvalidDefaultArgInFrom,
        Self::FromPlatformFlagConstDisallowed,
        Self::CopyIgnoredFile,
        Self::InvalidDefinitionDescription,
        Self::ExposeProtoCasing,
        Self::ExposeInvalidFormat,
    ];

    /// The name that `# check=skip=` takes.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// What it is about.
    pub fn description(self) -> &'static str {
        self.texts().1
    }

    /// Where it is explained.
    pub fn url(self) -> String {
        let mut slug = String::new();
        let letters: Vec<char> = self.name().chars().collect();
        for (index, letter) in letters.iter().enumerate() {
            let after_lower = index > 0 && letters[index - 1].is_lowercase();
            let before_lower = index > 0 && letters.get(index + 1).is_some_and(|next| next.is_lowercase());
            if letter.is_uppercase() && (after_lower || before_lower) {
                slug.push('-');
            }
            slug.push(letter.to_ascii_lowercase());
        }
        format!("https://docs.docker.com/go/dockerfile/rule/{slug}/")
    }

    /// Whether it is applied only where a file asks for it.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::StageNameCasing => ("StageNameCasing", "Stage names should be lowercase"),
            Self::FromAsCasing => {
                ("FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword")
            }
            Self::NoEmptyContinuation => {
                ("NoEmptyContinuation", "Empty continuation lines will become errors in a future release")
            }
            Self::ConsistentInstructionCasing => (
                "ConsistentInstructionCasing",
                "All commands within the Dockerfile should use the same casing (either upper or lower)",
            ),
            Self::DuplicateStageName => ("DuplicateStageName", "Stage names should be unique"),
            Self::ReservedStageName => {
                ("ReservedStageName", "Reserved words should not be used as stage names")
            }
            Self::JsonArgsRecommended => (
                "JSONArgsRecommended",
                "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
            ),
            Self::MaintainerDeprecated => (
                "MaintainerDeprecated",
                "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
            ),
            Self::UndefinedArgInFrom => ("UndefinedArgInFrom", "FROM command must use declared ARGs"),
            Self::WorkdirRelativePath => (
                "WorkdirRelativePath",
                "Relative workdir without an absolute workdir declared within the build can have unexpected results \
                 if the base image changes",
            ),
            Self::UndefinedVar => ("UndefinedVar", "Variables should be defined before their use"),
            Self::MultipleInstructionsDisallowed => (
                "MultipleInstructionsDisallowed",
                "Multiple instructions of the same type should not be used in the same stage",
            ),
            Self::LegacyKeyValueFormat => (
                "LegacyKeyValueFormat",
                "Legacy key/value format with whitespace separator should not be used",
            ),
            Self::RedundantTargetPlatform => (
                "RedundantTargetPlatform",
                "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            ),
            Self::SecretsUsedInArgOrEnv => {
                ("SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands")
            }
            Self::InvalidDefaultArgInFrom => (
                "InvalidDefaultArgInFrom",
                "Default value for global ARG results in an empty or invalid base image name",
            ),
            Self::FromPlatformFlagConstDisallowed => {
                ("FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value")
            }
            Self::CopyIgnoredFile => {
                ("CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore")
            }
            Self::InvalidDefinitionDescription => (
                "InvalidDefinitionDescription",
                "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If \
                 this is not intended to be a description comment, add an empty line or comment between the \
                 instruction and the comment.",
            ),
            Self::ExposeProtoCasing => {
                ("ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase")
            }
            Self::ExposeInvalidFormat => (
                "ExposeInvalidFormat",
                "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error \
                 in a future release",
            ),
        }
    }
}
