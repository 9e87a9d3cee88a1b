//! The command line as a person meets it: text, streams, exit codes.

use std::path::Path;

use genesis_mesh::{cli, settings};

use crate::process::Place;

#[test]
fn help_names_the_product_and_goes_to_stdout() {
    let run = Place::new().run(&["--help"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    assert!(run.stdout().starts_with("Genesis Mesh Agent Framework\n"));
    for text in ["[default: 127.0.0.1]", "[default: 8080]", "GENESIS_MESH_PORT", "Exit codes:"] {
        assert!(run.stdout().contains(text), "{text}\n{}", run.stdout());
    }
}

#[test]
fn version_is_that_of_the_workspace() {
    let run = Place::new().run(&["--version"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    assert_eq!(run.stdout(), format!("genesis-mesh {}\n", genesis_mesh::VERSION));
}

#[test]
fn every_command_has_help_with_examples() {
    for command in
        [&["config", "show", "--help"][..], &["blog", "new", "--help"], &["doctor", "--help"]]
    {
        let run = Place::new().run(command);
        assert_eq!(run.code(), 0);
        assert!(run.stdout().contains("Examples:\n  genesis-mesh "), "{}", run.stdout());
    }
}

#[test]
fn a_bad_port_is_refused_with_its_bounds() {
    for (port, said) in [("99999", "99999"), ("abc", "abc"), ("-1", "-1"), ("", "an empty text")] {
        let run = Place::new().run(&["--port", port]);
        assert_eq!((run.code(), run.stdout()), (2, ""));
        let expected =
            format!("error: --port (from the command line): {said}, expected 0 to 65535\n");
        assert_eq!(run.stderr(), expected);
    }
}

#[test]
fn wrong_usage_is_code_2() {
    for arguments in [
        &["--prot", "1"][..],
        &["server"],
        &["serve", "--fixtures", "ruby"],
        &["serve", "--fixtures-dir", "files"],
        &["config"],
        &["blog"],
        &["blog", "new"],
        &["blog", "new", "a topic", "--mode", "guess"],
        &["blog", "new", "a topic", "--words", "0"],
        &["blog", "new", "a topic", "--url", "file:///etc/passwd"],
        &["--port", "1", "blog", "new", "a topic"],
        &["--port", "1", "--port", "2", "config", "show"],
    ] {
        let run = Place::new().run(arguments);
        assert_eq!((run.code(), run.stdout()), (2, ""), "{arguments:?}");
        assert!(!run.stderr().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_flag_of_serving_is_refused_where_nothing_listens() {
    let run = Place::new().run(&["--host", "::1", "blog", "new", "a topic"]);
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("--host is for serving"), "{}", run.stderr());
}

#[test]
fn config_show_takes_each_value_from_the_first_layer_that_has_it() {
    let place = Place::new()
        .variable("BLOGGER_NUMBER_OF_QUERIES", "3")
        .variable("SEARXNG_BASE_URL", "")
        .file(".env", "BLOGGER_NUMBER_OF_QUERIES=1\nSEARXNG_BASE_URL=https://search.example\n")
        .file("genesis-mesh.toml", "server.port = 9001\n[fetch]\npages_max = 5\n");
    let run = place.run(&["--port", "9000", "config", "show"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    for (name, value, origin) in [
        ("server.port", "9000", "flag --port"),
        ("blogger.number_of_queries", "3", "environment BLOGGER_NUMBER_OF_QUERIES"),
        ("searxng.base_url", "https://search.example/", ".env line 2: SEARXNG_BASE_URL"),
        ("fetch.pages_max", "5", "genesis-mesh.toml line 3"),
        ("fetch.timeout", "20 s", "default"),
    ] {
        assert_eq!(run.row(name), (value.to_owned(), origin.to_owned()), "{name}");
    }
    assert_eq!(run.stdout().lines().count(), settings::table_rows().len() + 1);
}

#[test]
fn config_show_prints_the_same_as_json() {
    let place = Place::new().file("other.toml", "server.port = 9002");
    let run = place.run(&["config", "show", "--json", "--config", "other.toml"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(run.stdout()).unwrap();
    assert_eq!(json["file"], "other.toml");
    let rows = json["settings"].as_array().unwrap();
    let port = rows.iter().find(|row| row["name"] == "server.port").unwrap();
    assert_eq!(port["value"], 9002);
    assert_eq!(
        port["origin"],
        serde_json::json!({"from": "file", "path": "other.toml", "line": 1})
    );
}

#[test]
fn no_stream_carries_a_secret() {
    let place = Place::new()
        .variable("OPENAI_API_KEY", "sk-very-secret")
        .variable("GENESIS_MESH_LOG", "trace");
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let run = place.run(arguments);
        assert_eq!(run.code(), 0);
        assert!(run.stdout().contains("***"));
        // Said, because a key alone changes nothing.
        assert!(run.stderr().contains("warning: openai.api_key is set but no model is named"));
        for text in [run.stdout(), run.stderr()] {
            assert!(!text.contains("very-secret"), "{text}");
        }
    }
    let broken =
        Place::new().file(".env", "OPENAI_API_KEY='sk-very-secret\n").run(&["config", "show"]);
    assert_eq!(broken.code(), 2);
    assert!(!broken.stderr().contains("very-secret"), "{}", broken.stderr());
}

#[test]
fn a_broken_configuration_stops_every_command_with_all_its_problems() {
    let place = Place::new()
        .variable("BLOGGER_PLANNER_TEMPERATURE", "2")
        .file("genesis-mesh.toml", "[server]\nprot = 1\n");
    for arguments in [&["config", "show"][..], &[], &["blog", "new", "a topic"]] {
        let run = place.run(arguments);
        assert_eq!((run.code(), run.stdout()), (2, ""), "{arguments:?}");
        assert_eq!(
            run.stderr(),
            "error: BLOGGER_PLANNER_TEMPERATURE (from the environment): 2, expected 0 to 1\n\
             error: genesis-mesh.toml line 2: unknown key server.prot; the nearest known key is \
             server.port\n"
        );
    }
}

#[test]
fn warnings_go_to_stderr_and_change_no_exit_code() {
    let place = Place::new().variable("SEARXNG_BASE_URL", "http://127.0.0.1:8080");
    let run = place.run(&["--host", "0.0.0.0", "config", "show"]);
    assert_eq!(run.code(), 0);
    let lines: Vec<&str> = run.stderr().lines().collect();
    assert_eq!(lines.len(), 1, "{}", run.stderr());
    assert!(lines[0].starts_with("warning: searxng.base_url (http://127.0.0.1:8080/) is the"));
}

#[test]
fn the_data_folder_follows_the_platform_and_is_not_made_by_looking() {
    let place = Place::new();
    let run = place.run(&["config", "show"]);
    let (folder, origin) = run.row("data_dir");
    assert_eq!(origin, "default");
    if cfg!(target_os = "linux") {
        let expected = place.folder.path().join(".local/share/genesis-mesh");
        let text = expected.to_str().unwrap();
        assert!(text.starts_with(folder.trim_end_matches('…')), "{folder}");
        let xdg = place.variable("XDG_DATA_HOME", "/srv/data");
        assert_eq!(xdg.run(&["config", "show"]).row("data_dir").0, "/srv/data/genesis-mesh");
    }
    assert!(!Path::new(&folder).exists());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let place = Place::new();
    let output = place.command(&["config", "show"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn the_grammar_is_sound_and_has_every_flag_of_the_table() {
    let command = cli::command();
    command.clone().debug_assert();
    let rows = settings::table_rows();
    for row in rows.iter().filter(|row| row.flag.is_some()) {
        let flag = row.flag.unwrap().trim_start_matches('-');
        let argument = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
        let help = argument.get_help().unwrap().to_string();
        assert!(help.starts_with(row.help), "{help}");
    }
    // The other way round: a flag without a setting would do nothing.
    for argument in command.get_arguments() {
        let long = format!("--{}", argument.get_long().unwrap());
        let is_setting = rows.iter().any(|row| row.flag == Some(&long));
        assert!(
            is_setting || ["--config", "--help", "--version"].contains(&long.as_str()),
            "{long}"
        );
    }
}

#[test]
fn flags_reach_their_settings() {
    let place = Place::new();
    let given = ["--host", "::1", "--port", "1", "--data-dir", "/srv/m", "--log", "warn"];
    let run = place.run(&[&given[..], &["config", "show"]].concat());
    for (name, flag, value) in [
        ("server.host", "--host", "::1"),
        ("server.port", "--port", "1"),
        ("data_dir", "--data-dir", "/srv/m"),
        ("log.filter", "--log", "warn"),
    ] {
        assert_eq!(run.row(name), (value.to_owned(), format!("flag {flag}")));
    }
}

#[test]
fn a_blog_request_is_carried_whole() {
    let arguments = [
        "genesis-mesh",
        "blog",
        "new",
        "a topic",
        "--files",
        "a",
        "--files",
        "b",
        "--url",
        "https://a.example/x?y=1",
        "--mode",
        "extractive",
        "--words",
        "900",
        "--out",
        "p.md",
        "--json",
        "--data-dir",
        "/srv/m",
    ];
    let parsed = cli::Cli::parse_from_args(arguments).unwrap();
    let Some(cli::Command::Blog(cli::BlogCommand::New(new))) = parsed.command else { panic!() };
    assert_eq!(new.topic, "a topic");
    assert_eq!(new.files, [Path::new("a"), Path::new("b")]);
    assert_eq!(new.url[0].as_str(), "https://a.example/x?y=1");
    assert_eq!((new.mode, new.words, new.json), (cli::Mode::Extractive, Some(900), true));
    assert_eq!(new.out.as_deref(), Some(Path::new("p.md")));
}
