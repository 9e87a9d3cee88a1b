use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, expected: Expect) {
    let shown = match parse(text) {
        Ok(instructions) => {
            let lines: Vec<_> = instructions.iter().map(|one| format!("{one:?}")).collect();
            lines.join("\n") + "\n"
        }
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn every_instruction_in_use_is_read() {
    check(
        "# a comment\nFROM debian:13\n\nENV A=b\nWORKDIR /w\nUSER me\nCOPY --chown=me:me a /b\nRUN echo hi\n",
        expect![[r#"
            From("debian:13")
            Env { name: "A", value: "b" }
            Workdir("/w")
            User("me")
            Copy { from: "a", to: "/b", owner: Some("me:me") }
            Run("echo hi")
        "#]],
    );
}

#[test]
fn continued_lines_are_one_command_and_comments_between_them_vanish() {
    check(
        "RUN one \\\n    # why two\n    && two \\\n    && three\nUSER me\n",
        expect![[r#"
            Run("one && two && three")
            User("me")
        "#]],
    );
}

#[test]
fn an_instruction_outside_the_subset_is_an_error_with_its_line() {
    check(
        "FROM a\nADD b c\n",
        expect![[r"
            line 2: expected FROM, ENV, USER, WORKDIR, COPY or RUN in its simple form, found `ADD b c`
        "]],
    );
}

#[test]
fn forms_that_would_change_the_meaning_of_a_command_are_refused() {
    for text in
        ["RUN --mount=type=cache x", "RUN [\"sh\"]", "RUN <<EOF", "COPY a b c", "FROM a AS b"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_development_container_is_written_in_the_subset() {
    let instructions = parse(include_str!("../../../.devcontainer/Dockerfile")).unwrap();
    assert!(matches!(instructions.first(), Some(Instruction::From(_))));
    assert!(instructions.iter().any(|one| matches!(one, Instruction::Run(_))));
}
