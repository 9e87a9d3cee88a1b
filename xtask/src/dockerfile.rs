//! Reads the part of the Dockerfile language that the development container uses.
//!
//! An instruction outside that part is an error, never skipped: a check that ignores what it does
//! not know proves nothing.

#[cfg(test)]
mod tests;

/// One instruction, with continuation lines joined and comments dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// `FROM image`: the base, as written.
    From(String),
    /// `ENV name=value`; references to other variables are left as written.
    Env {
        /// Name of the variable.
        name: String,
        /// Value without quotes around it.
        value: String,
    },
    /// `USER name`: who runs what follows.
    User(String),
    /// `WORKDIR path`: where what follows runs.
    Workdir(String),
    /// `COPY from to`: one file of the build context.
    Copy {
        /// Path below the build context.
        from: String,
        /// Path in the image.
        to: String,
        /// `--chown`, as written.
        owner: Option<String>,
    },
    /// `RUN command`: a shell command line, its line breaks removed.
    Run(String),
}

/// Why a Dockerfile was not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Line on which the instruction starts, from 1.
    pub(crate) line: usize,
    /// What was found.
    pub(crate) found: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {}: expected FROM, ENV, USER, WORKDIR, COPY or RUN in its simple form, found `{}`",
            self.line, self.found
        )
    }
}

impl std::error::Error for Unreadable {}

/// Parses `text` into its instructions, in order.
///
/// # Errors
/// [`Unreadable`] names the line of the first instruction that is not understood.
pub(crate) fn parse(text: &str) -> Result<Vec<Instruction>, Unreadable> {
    let mut instructions = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        if is_blank_or_comment(first) {
            continue;
        }
        let mut logical = String::new();
        let mut part = first;
        loop {
            let (body, goes_on) = match part.trim_end().strip_suffix('\\') {
                Some(body) => (body, true),
                None => (part, false),
            };
            // Docker drops comment lines inside a continued instruction, and so do we.
            if !is_blank_or_comment(part) {
                if !logical.is_empty() {
                    logical.push(' ');
                }
                logical.push_str(body.trim());
            }
            if !goes_on && !is_blank_or_comment(part) {
                break;
            }
            match lines.next() {
                Some((_, next)) => part = next,
                None => break,
            }
        }
        instructions.push(
            instruction(&logical).ok_or(Unreadable { line: index + 1, found: logical.clone() })?,
        );
    }
    Ok(instructions)
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn instruction(logical: &str) -> Option<Instruction> {
    let (keyword, rest) = logical.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    match keyword {
        "FROM" => one_word(rest).map(Instruction::From),
        "USER" => one_word(rest).map(Instruction::User),
        "WORKDIR" => one_word(rest).map(Instruction::Workdir),
        // The list form and flags such as `--mount` change what a command means.
        "RUN" if !rest.starts_with(['[', '-', '<']) => Some(Instruction::Run(rest.to_owned())),
        "ENV" => {
            let (name, value) = one_word(rest).as_deref()?.split_once('=').map(owned)?;
            Some(Instruction::Env { name, value: value.trim_matches('"').to_owned() })
        }
        "COPY" => {
            let mut words = rest.split_whitespace().peekable();
            let owner = words.next_if(|word| word.starts_with("--chown="));
            let (from, to) = (words.next()?, words.next()?);
            let plain = words.next().is_none() && !from.starts_with("--");
            plain.then(|| Instruction::Copy {
                from: from.to_owned(),
                to: to.to_owned(),
                owner: owner.and_then(|flag| flag.strip_prefix("--chown=")).map(str::to_owned),
            })
        }
        _ => None,
    }
}

fn one_word(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

fn owned((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}
