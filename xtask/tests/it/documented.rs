//! Commands that a document promises and a script runs.

use crate::repository::must_read;

/// Stands in front of the block that holds the test command.
const MARKER: &str = "<!-- test-command -->";

#[test]
fn the_readme_marks_exactly_one_test_command() {
    let readme = must_read("README.md");
    assert_eq!(readme.matches(MARKER).count(), 1, "README.md marks one test command with {MARKER}");
    let after = readme.split_once(MARKER).map(|(_, after)| after.trim_start()).unwrap();
    let block = after.strip_prefix("```sh\n").expect("a ```sh block follows the marker");
    let (command, _) = block.split_once("```").expect("the block ends");
    assert!(command.contains("cargo test"), "the command runs the tests: {command}");
    assert!(command.contains("--locked"), "documented builds are locked: {command}");
}
