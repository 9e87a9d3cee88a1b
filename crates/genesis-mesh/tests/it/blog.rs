//! `blog new` as a person runs it.

use std::fs;

use crate::process::{Place, Run};

const TOPIC: &str = "How does a run survive a crash?";

fn blog(place: &Place, arguments: &[&str]) -> Run {
    let mut all = vec!["blog", "new"];
    all.extend(arguments);
    place.run(&all)
}

#[test]
fn with_nothing_configured_a_post_of_the_handbook_goes_to_stdout() {
    let place = Place::new();
    let run = blog(&place, &[TOPIC]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stdout().starts_with("---\ntitle: \"How does a run survive a crash?\"\n"));
    assert!(run.stdout().matches("\n## ").count() >= 3, "{}", run.stdout());
    assert!(run.stderr().contains("mode extractive: no model is configured"), "{}", run.stderr());
    assert!(run.stderr().contains("built-in handbook"), "{}", run.stderr());
    assert_eq!(run.stdout(), blog(&place, &[TOPIC]).stdout(), "the same topic, the same bytes");
}

#[test]
fn a_folder_is_read_and_the_post_goes_to_a_file() {
    let place = Place::new();
    let notes = place.folder.path().join("notes");
    fs::create_dir(&notes).unwrap();
    for (page, text) in [
        (
            "tea.md",
            "# Green tea\n\nGreen tea is made of leaves that are heated soon after the harvest.\n\
          The water for green tea should have a temperature of about 70 degrees.\n\
          Green tea turns bitter when the leaves stay in the water for too long.\n",
        ),
        (
            "cups.md",
            "# Cups for tea\n\nA cup for green tea is usually small and has no handle.\n\
          Thin porcelain keeps the taste of green tea free of other aromas.\n",
        ),
    ] {
        fs::write(notes.join(page), text).unwrap();
    }
    let run = blog(&place, &["Making green tea", "--files", "notes", "--out", "post.md"]);
    assert_eq!((run.code(), run.stdout()), (0, ""), "{}", run.stderr());
    let post = fs::read_to_string(place.folder.path().join("post.md")).unwrap();
    assert!(post.contains("about 70 degrees.[^1]"), "{post}");
    assert!(!post.contains("handbook"), "{post}");
}

#[test]
fn json_has_the_post_and_what_it_rests_on() {
    let run = blog(&Place::new(), &[TOPIC, "--json"]);
    let result: serde_json::Value = serde_json::from_str(run.stdout()).unwrap();
    assert_eq!(result["mode"]["generation"], "extractive");
    assert!(result["final_blog"].as_str().unwrap().contains("# How does a run survive a crash?"));
    let evidence = &result["evidence"][0];
    let source = result["sources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|source| source["id"] == evidence["source"])
        .unwrap();
    assert!(source["location"].as_str().unwrap().starts_with("handbook/"));
}

#[test]
fn bad_input_names_what_is_wrong_and_writes_nothing() {
    let place = Place::new().file("file.txt", "no folder");
    let nowhere = "no-such-folder/post.md";
    for (arguments, code, message) in [
        (&["four"][..], 2, "topic: 4 characters, expected 5 to 500"),
        (&[&*"日".repeat(501)][..], 2, "topic: 501 characters, expected 5 to 500"),
        (&[TOPIC, "--words", "10"][..], 2, "words.target: 10, expected 150 to 6000"),
        (&[TOPIC, "--files", "nowhere"][..], 2, "--files nowhere: "),
        (&[TOPIC, "--files", "file.txt"][..], 2, "--files file.txt: "),
        (&[TOPIC, "--out", nowhere][..], 1, "cannot write no-such-folder/post.md"),
        (&[TOPIC, "--out", "."][..], 1, "cannot write ."),
        (&[TOPIC, "--mode", "model"][..], 1, "no model is configured"),
        (&["Quantum chromodynamics on lattices"][..], 1, "too little material"),
    ] {
        let run = blog(&place, arguments);
        assert_eq!((run.code(), run.stdout()), (code, ""), "{arguments:?}: {}", run.stderr());
        assert!(run.stderr().contains(message), "{arguments:?}: {}", run.stderr());
        assert!(!run.stderr().contains("panicked"), "{}", run.stderr());
    }
}

#[test]
fn a_page_on_a_private_network_is_a_note_and_not_the_end() {
    let run =
        blog(&Place::new(), &["Nothing else to read here", "--url", "http://127.0.0.1:1/secret"]);
    assert_eq!(run.code(), 1);
    assert!(run.stderr().contains("no source could be read"), "{}", run.stderr());
    assert!(run.stderr().contains("127.0.0.1"), "{}", run.stderr());
}
