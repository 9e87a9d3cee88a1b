//! The behaviour of settings, layer by layer, through the public door.
#![allow(clippy::needless_raw_string_hashes, reason = "snapshots are written with hashes")]

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::{Expect, expect};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

/// A working directory and an environment of its own for one test.
struct Place {
    folder: TempDir,
    surroundings: Surroundings,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let surroundings = Surroundings {
            flags: Flags::none(),
            environment: BTreeMap::new(),
            working_directory: folder.path().to_owned(),
            data_dir: Some(PathBuf::from("/home/someone/.local/share/genesis-mesh")),
        };
        Self { folder, surroundings }
    }

    fn flag(mut self, flag: &'static str, value: &str) -> Self {
        self.surroundings.flags = self.surroundings.flags.with(flag, Some(value));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.surroundings.environment.insert(name.to_owned(), value.into());
        self
    }

    fn dot_env(self, text: impl AsRef<[u8]>) -> Self {
        self.file(DOT_ENV_NAME, text)
    }

    fn toml(self, text: impl AsRef<[u8]>) -> Self {
        self.file(FILE_NAME, text)
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn load(&self) -> Settings {
        Settings::load(&self.surroundings).unwrap()
    }

    fn problems(&self) -> String {
        Settings::load(&self.surroundings).unwrap_err().to_string()
    }

    fn warnings(&self) -> String {
        let warnings: Vec<String> = self.load().warnings.iter().map(Warning::to_string).collect();
        warnings.join("\n")
    }
}

fn check_problems(place: Place, expected: Expect) {
    expected.assert_eq(&place.problems());
}

fn check_warnings(place: Place, expected: Expect) {
    expected.assert_eq(&place.warnings());
}

fn origin(settings: &Settings, name: &str) -> String {
    settings.origin(name).unwrap().to_string()
}

#[test]
fn each_layer_goes_before_the_next() {
    let place = Place::new();
    assert_eq!(
        (place.load().server.port, origin(&place.load(), "server.port").as_str()),
        (8080, "default")
    );

    let place = place.toml("# ports\n[server]\nport = 1001\n");
    let settings = place.load();
    assert_eq!(settings.server.port, 1001);
    assert_eq!(origin(&settings, "server.port"), "genesis-mesh.toml line 3");

    let place = place.dot_env("\nGENESIS_MESH_PORT=1002\n");
    let settings = place.load();
    assert_eq!(settings.server.port, 1002);
    assert_eq!(origin(&settings, "server.port"), ".env line 2: GENESIS_MESH_PORT");

    let place = place.variable("GENESIS_MESH_PORT", "1003");
    let settings = place.load();
    assert_eq!(settings.server.port, 1003);
    assert_eq!(origin(&settings, "server.port"), "environment GENESIS_MESH_PORT");

    let place = place.flag("--port", "1004");
    let settings = place.load();
    assert_eq!(settings.server.port, 1004);
    assert_eq!(origin(&settings, "server.port"), "flag --port");
}

#[test]
fn any_variable_of_the_environment_goes_before_any_of_dot_env() {
    let place = Place::new()
        .variable("OPENAI_MODEL", "from the environment")
        .dot_env("OPENAI_LLM_NAME=from-dot-env");
    assert_eq!(place.load().openai.model.as_deref(), Some("from the environment"));
}

#[test]
fn of_two_variables_in_one_layer_the_first_of_the_table_wins() {
    let place = Place::new().variable("RUST_LOG", "trace").variable("GENESIS_MESH_LOG", "warn");
    assert_eq!(place.load().log.filter, "warn");
    let place = Place::new().variable("RUST_LOG", "trace");
    assert_eq!(place.load().log.filter, "trace");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let place = Place::new()
        .variable("GENESIS_MESH_PORT", "")
        .variable("OPENAI_API_KEY", "  ")
        .dot_env("BLOGGER_NUMBER_OF_QUERIES=\nSEARXNG_BASE_URL=''\n")
        .toml("server.port = 1001");
    let settings = place.load();
    assert_eq!(settings.server.port, 1001);
    assert!(settings.openai.api_key.is_none());
    assert_eq!(settings.blogger.number_of_queries, 2);
    assert!(settings.searxng.base_url.is_none());
}

#[test]
fn an_empty_flag_is_a_mistake() {
    check_problems(
        Place::new().flag("--host", ""),
        expect![[
            r#"--host (from the command line): an empty text, expected a host name or an IP address, without scheme and port"#
        ]],
    );
}

#[test]
fn the_whole_default_configuration() {
    let settings = Place::new().load();
    assert!(settings.warnings.is_empty());
    assert!(settings.blogger_models().is_none());
    expect![[r#"
        SETTING                                  VALUE                                                         ORIGIN
        server.host                              127.0.0.1                                                     default
        server.port                              8080                                                          default
        server.allowed_origins                   -                                                             default
        server.allowed_hosts                     -                                                             default
        server.unsafe_any_origin                 false                                                         default
        server.error_format                      json                                                          default
        server.message_bytes_max                 1 MiB                                                         default
        server.connections_max                   1024                                                          default
        server.connections_of_caller_max         512                                                           default
        server.pending_runs_max                  10000                                                         default
        server.state_bytes_max                   64 MiB                                                        default
        server.drain_timeout                     10 s                                                          default
        server.pause_hold                        0.1 s                                                         default
        data_dir                                 /home/someone/.local/share/genesis-mesh                       default
        auth.unsafe_no_authentication            false                                                         default
        auth.jwt_secret                          -                                                             default
        auth.jwks_url                            -                                                             default
        auth.jwks_file                           -                                                             default
        auth.issuer                              -                                                             default
        auth.audiences                           -                                                             default
        auth.subjects                            -                                                             default
        log.filter                               info                                                          default
        log.format                               text                                                          default
        openai.base_url                          https://api.openai.com/v1                                     default
        openai.api_key                           -                                                             default
        openai.model                             -                                                             default
        blogger.blog_structure                   An introduction that says what the reader will be able to d…  default
        blogger.number_of_queries                2                                                             default
        blogger.parallel_sections                4                                                             default
        blogger.planner.llm                      -                                                             default
        blogger.planner.max_tokens               8192                                                          default
        blogger.planner.temperature              0.5                                                           default
        blogger.executor.llm                     -                                                             default
        blogger.executor.max_tokens              8192                                                          default
        blogger.executor.temperature             0.3                                                           default
        searxng.base_url                         -                                                             default
        searxng.search_path                      /search                                                       default
        searxng.engines                          -                                                             default
        searxng.min_score                        0.4                                                           default
        fetch.pages_max                          60                                                            default
        fetch.page_bytes_max                     5 MB                                                          default
        fetch.timeout                            20 s                                                          default
        fetch.allowed_networks                   -                                                             default
        webhooks.secret                          -                                                             default
        checkpointer.ttl.strategy                delete                                                        default
        checkpointer.ttl.default_ttl             -                                                             default
        checkpointer.ttl.sweep_interval_minutes  1                                                             default
        store.ttl.default_ttl                    -                                                             default
        store.ttl.refresh_on_read                true                                                          default
        store.ttl.sweep_interval_minutes         5                                                             default
    "#]]
    .assert_eq(&settings.to_table());
}

#[test]
fn a_value_out_of_bounds_names_setting_origin_value_and_bounds() {
    check_problems(
        Place::new().dot_env("# blogger\n\nBLOGGER_NUMBER_OF_QUERIES=7\n"),
        expect![[r#"BLOGGER_NUMBER_OF_QUERIES (from .env line 3): 7, expected 1 to 3"#]],
    );
    check_problems(
        Place::new().flag("--port", "99999"),
        expect![[r#"--port (from the command line): 99999, expected 0 to 65535"#]],
    );
    check_problems(
        Place::new().toml("[server]\nport = -1"),
        expect![[r#"server.port (from genesis-mesh.toml line 2): -1, expected 0 to 65535"#]],
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    check_problems(
        Place::new()
            .toml("server.prot = 1\n[blogger.planner]\ntemperature = 1.5\nmax_tokens = '8k'\n")
            .variable("BLOGGER_PLANNER_LLM_MAX_TOKENS", "255")
            .variable("SEARXNG_MIN_SCORE", "NaN")
            .variable("GENESIS_MESH_MESSAGE_BYTES_MAX", "65 MiB")
            .variable("GENESIS_MESH_DRAIN_TIMEOUT", "-1")
            .variable("GENESIS_MESH_FETCH_ALLOWED_NETWORKS", "10.0.0.0/8,10.0.0.0/40")
            .variable("GENESIS_MESH_LOG", "mesh=loud")
            .variable("GENESIS_MESH_LOG_FORMAT", "xml")
            .variable("GENESIS_MESH_ALLOWED_ORIGINS", "https://a.example,*")
            .variable("GENESIS_MESH_ALLOWED_HOSTS", "a.example:http")
            .variable("SEARXNG_SEARCH_PATH", "search")
            .variable("SEARXNG_BASE_URL", "ftp://search.example")
            .variable("GENESIS_MESH_DATA_DIR", "~/mesh"),
        expect![[r#"
            GENESIS_MESH_ALLOWED_ORIGINS (from the environment): *, expected at most 64 of: an origin such as https://app.example (scheme, host, port if unusual, no path)
            GENESIS_MESH_ALLOWED_HOSTS (from the environment): a.example:http, expected at most 64 of: a host such as mesh.example or mesh.example:8080
            GENESIS_MESH_MESSAGE_BYTES_MAX (from the environment): 65 MiB, expected 1 KiB to 64 MiB
            GENESIS_MESH_DRAIN_TIMEOUT (from the environment): -1, expected 0 s to 600 s
            GENESIS_MESH_DATA_DIR (from the environment): ~/mesh, expected a folder (~ is not expanded)
            GENESIS_MESH_LOG (from the environment): mesh=loud, expected a level or a filter such as info,mesh_server=debug
            GENESIS_MESH_LOG_FORMAT (from the environment): xml, expected text or json
            BLOGGER_PLANNER_LLM_MAX_TOKENS (from the environment): 255, expected 256 to 32768
            blogger.planner.temperature (from genesis-mesh.toml line 3): 1.5, expected 0 to 1
            SEARXNG_BASE_URL (from the environment): ftp://search.example, expected an http or https URL with a host, without user, password, query or fragment
            SEARXNG_SEARCH_PATH (from the environment): search, expected a path that begins with /, at most 200 characters, no query
            SEARXNG_MIN_SCORE (from the environment): NaN, expected 0 to 100
            GENESIS_MESH_FETCH_ALLOWED_NETWORKS (from the environment): 10.0.0.0/40, expected at most 64 of: a network such as 10.20.0.0/16 or fd00:1::/64
            genesis-mesh.toml line 1: unknown key server.prot; the nearest known key is server.port"#]],
    );
}

#[test]
fn a_value_of_another_kind_is_refused() {
    check_problems(
        Place::new().toml(
            "data_dir = 5\n\
             [server]\nport = [1, 2]\nhost = true\nallowed_hosts = [['a']]\n\
             [openai]\nmodel = 2026-01-01\nbase_url = {}\n\
             [fetch]\ntimeout = inf\npages_max = 10.0\n",
        ),
        expect![[r#"
            server.host (from genesis-mesh.toml line 4): true, expected a host name or an IP address, without scheme and port
            server.port (from genesis-mesh.toml line 3): a list, expected 0 to 65535
            server.allowed_hosts (from genesis-mesh.toml line 5): a list in a list, expected at most 64 of: a host such as mesh.example or mesh.example:8080
            data_dir (from genesis-mesh.toml line 1): 5, expected a folder (~ is not expanded)
            openai.base_url (from genesis-mesh.toml line 8): a table, expected an http or https URL with a host, without user, password, query or fragment
            openai.model (from genesis-mesh.toml line 7): a date, expected 1 to 200 characters
            fetch.pages_max (from genesis-mesh.toml line 11): 10.0, expected 1 to 1000
            fetch.timeout (from genesis-mesh.toml line 10): inf, expected 1 s to 300 s"#]],
    );
}

#[test]
fn a_group_is_no_value_and_a_value_no_group() {
    check_problems(
        Place::new().toml("server = 5\n"),
        expect![
            "genesis-mesh.toml line 1: server is a group of settings, expected a table [server]"
        ],
    );
    check_problems(
        Place::new().toml("[server.port]\nnumber = 5\n"),
        expect![[
            r#"genesis-mesh.toml line 2: unknown key server.port.number; the nearest known key is server.port"#
        ]],
    );
    assert_eq!(Place::new().toml("[server]\n[blogger.planner]\n").load().server.port, 8080);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let unknown = |toml: &str| Place::new().toml(toml).problems();
    expect![[
        r#"genesis-mesh.toml line 3: unknown key server.hots; the nearest known key is server.host"#
    ]]
    .assert_eq(&unknown("\n[server]\nhots = 'localhost'"));
    expect![[
        r#"genesis-mesh.toml line 1: unknown key port; the nearest known key is server.port"#
    ]]
    .assert_eq(&unknown("port = 9000"));
    expect![[r#"genesis-mesh.toml line 1: unknown key OPENAI_LLM_NAME; the nearest known key is openai.model"#]].assert_eq(&unknown("OPENAI_LLM_NAME = 'some-model'"));
    expect![[r#"genesis-mesh.toml line 1: unknown key "server.port"; the nearest known key is server.port"#]].assert_eq(&unknown("\"server.port\" = 9000"));
    expect![[r#"genesis-mesh.toml line 1: unknown key sever; the nearest known key is server"#]]
        .assert_eq(&unknown("[sever]\n"));
    expect![[
        r#"genesis-mesh.toml line 1: server is a group of settings, expected a table [server]"#
    ]]
    .assert_eq(&unknown("[[server]]\nport = 1\n"));
    expect![[r#"genesis-mesh.toml line 1: unknown key "a\u{1b}[31m"; the nearest known key is auth.audiences"#]].assert_eq(&unknown("\"a\\u001b[31m\" = 1"));
}

#[test]
fn a_deeply_nested_key_is_refused_like_any_other() {
    let key = vec!["a"; 20].join(".");
    assert!(Place::new().toml(format!("{key} = 1")).problems().contains("unknown key a.a.a.a;"));
    let bytes = usize::try_from(layers::FILE_BYTES_MAX).unwrap() / 2 - 8;
    let key = vec!["a"; bytes].join(".");
    assert!(!Place::new().toml(format!("{key} = 1")).problems().is_empty());
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    check_problems(
        Place::new().toml("[server]\nport = \n"),
        expect![[
            r#"genesis-mesh.toml line 2: not valid TOML: string values must be quoted, expected literal string"#
        ]],
    );
    check_problems(
        Place::new().toml("[server]\nport = 1\nport = 2\n"),
        expect![[r#"genesis-mesh.toml line 3: not valid TOML: duplicate key"#]],
    );
    check_problems(
        Place::new().toml([b'a', 0xff]),
        expect![[r#"cannot read genesis-mesh.toml: stream did not contain valid UTF-8"#]],
    );
}

#[test]
fn a_file_larger_than_its_bound_is_not_read() {
    let bytes_max = usize::try_from(layers::FILE_BYTES_MAX).unwrap();
    let fits = "#".repeat(bytes_max);
    assert_eq!(Place::new().toml(&fits).load().server.port, 8080);
    check_problems(
        Place::new().toml(fits + "#"),
        expect![[r#"cannot read genesis-mesh.toml: larger than 262144 bytes"#]],
    );
}

#[test]
fn the_settings_file_is_named_by_flag_then_by_variable() {
    let mut place = Place::new()
        .toml("server.port = 1")
        .file("a.toml", "server.port = 2")
        .file("b.toml", "server.port = 3")
        .dot_env("GENESIS_MESH_CONFIG=a.toml");
    assert_eq!(place.load().server.port, 2);
    place = place.variable(FILE_VARIABLE, "b.toml");
    assert_eq!(place.load().server.port, 3);
    assert_eq!(origin(&place.load(), "server.port"), "b.toml line 1");
    let absolute = place.folder.path().join("a.toml");
    place.surroundings.flags = Flags::none().with_config(Some(absolute.clone()));
    assert_eq!(place.load().server.port, 2);
    assert_eq!(place.load().to_json()["file"], absolute.to_str().unwrap());
}

#[test]
fn a_named_settings_file_must_exist() {
    let by_variable = Place::new().variable(FILE_VARIABLE, "absent.toml").problems();
    let start = "cannot read absent.toml (named by GENESIS_MESH_CONFIG): ";
    assert!(by_variable.starts_with(start), "{by_variable}");
    let mut place = Place::new();
    place.surroundings.flags = Flags::none().with_config(Some("absent.toml".into()));
    let by_flag = place.problems();
    assert!(by_flag.starts_with("cannot read absent.toml (named by --config): "), "{by_flag}");
}

#[test]
fn dot_env_lines_are_counted_through_comments_quotes_and_line_ends() {
    let text = "\u{feff}# don't stop here\r\n\
        \r\n\
        export OPENAI_LLM_NAME=first # and a remark\r\n\
        BLOGGER_BLOG_STRUCTURE=\"one\n\
        two\n\
        three\"\n\
        \n\
        # SEARXNG_BASE_URL=https://commented.example\n\
        BLOGGER_PLANNER_LLM='a model'\n\
        OPENAI_LLM_NAME=second\n\
        GENESIS_MESH_PORT=1002 ";
    let settings = Place::new().dot_env(text).load();
    assert_eq!(settings.blogger.blog_structure, "one\ntwo\nthree");
    assert_eq!(settings.openai.model.as_deref(), Some("second"));
    assert!(settings.searxng.base_url.is_none());
    let lines: Vec<String> =
        ["blogger.blog_structure", "blogger.planner.llm", "openai.model", "server.port"]
            .map(|name| origin(&settings, name))
            .into();
    expect![[r#"
        .env line 4: BLOGGER_BLOG_STRUCTURE
        .env line 9: BLOGGER_PLANNER_LLM
        .env line 10: OPENAI_LLM_NAME
        .env line 11: GENESIS_MESH_PORT"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn a_dot_env_line_longer_than_the_parsers_buffer_counts_once() {
    let text =
        format!("# {}\nUNRELATED={}\nGENESIS_MESH_PORT=x", "a".repeat(20_000), "b".repeat(20_000));
    assert!(Place::new().dot_env(text).problems().contains(".env line 3"));
}

#[test]
fn a_dot_env_line_that_is_no_assignment_is_reported_without_its_text() {
    check_problems(
        Place::new().dot_env("A=1\n\n# b\nOPENAI_API_KEY=sk-hidden and more\n"),
        expect![[
            r#".env line 4: not of the form NAME=value (a value with spaces or quotes needs quotes around it)"#
        ]],
    );
    check_problems(
        Place::new().dot_env("A=1\nOPENAI_API_KEY='sk-hidden\nB=2\n"),
        expect![[
            r#".env line 2: not of the form NAME=value (a value with spaces or quotes needs quotes around it)"#
        ]],
    );
}

#[test]
fn reading_dot_env_leaves_the_process_environment_alone() {
    let name = "GENESIS_MESH_FETCH_PAGES_MAX";
    assert_eq!(Place::new().dot_env(format!("{name}=7")).load().fetch.pages_max, 7);
    assert!(std::env::var_os(name).is_none());
}

#[test]
fn a_secret_is_in_no_text() {
    let secret = "sk-very-secret-0123456789";
    let places = [
        Place::new().variable("OPENAI_API_KEY", secret),
        Place::new().dot_env(format!("OPENAI_API_KEY={secret}")),
        Place::new().toml(format!("openai.api_key = '{secret}'")),
    ];
    for place in places {
        let settings = place.load();
        assert_eq!(settings.openai.api_key.as_ref().unwrap().expose_secret(), secret);
        let row = settings.rows().iter().find(|row| row.name == "openai.api_key").unwrap();
        assert_eq!((row.text.as_str(), row.secret), ("***", true));
        let texts = [
            format!("{settings:?}"),
            format!("{settings:#?}"),
            settings.to_table(),
            settings.to_json().to_string(),
            place.warnings(),
        ];
        for text in texts {
            assert!(!text.contains("very-secret"), "{text}");
            assert!(!text.contains("sk-"), "{text}");
        }
    }
}

#[test]
fn a_secret_is_in_no_error() {
    let places = [
        Place::new().variable("OPENAI_API_KEY", "sk-very-secret with a space"),
        Place::new().variable("OPENAI_API_KEY", "sk-very-secret-ключ"),
        Place::new().variable("OPENAI_API_KEY", &"sk-very-secret".repeat(1000)),
        Place::new().toml("[openai]\napi_key = ['sk-very-secret']"),
        Place::new().toml("[openai]\napi_key = 'sk-very-secret"),
        Place::new().toml("[openai]\napi_key = sk-very-secret"),
        Place::new().toml("[openai]\napi_kee = 'sk-very-secret'"),
        Place::new().dot_env("OPENAI_API_KEY=\"sk-very-secret"),
        Place::new().dot_env("OPENAI_API_KEY = sk-very-secret x"),
        Place::new().variable("OPENAI_API_BASE_URL", "https://sk-very-secret@models.example/v1"),
        Place::new().variable("OPENAI_API_BASE_URL", "https://u:sk-very-secret@models.example/v1"),
        Place::new().variable("SEARXNG_BASE_URL", "https://s.example/?key=sk-very-secret"),
        Place::new().variable("SEARXNG_BASE_URL", "u:sk-very-secret@s.example"),
        Place::new().variable("GENESIS_MESH_ALLOWED_ORIGINS", "https://u:sk-very-secret@s.example"),
    ];
    for place in places {
        let error = Settings::load(&place.surroundings).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("very-secret"), "{text}");
        }
    }
}

#[test]
fn a_key_may_carry_the_newline_of_the_file_it_was_read_from() {
    let settings = Place::new().variable("OPENAI_API_KEY", "sk-1\n").load();
    assert_eq!(settings.openai.api_key.unwrap().expose_secret(), "sk-1");
}

#[test]
fn lengths_are_counted_in_characters() {
    for (text, fits) in [
        ("é".repeat(500), true),
        ("é".repeat(501), false),
        ("名".repeat(500), true),
        ("🙂".repeat(501), false),
        ("x".to_owned(), true),
    ] {
        let loaded =
            Settings::load(&Place::new().variable("BLOGGER_BLOG_STRUCTURE", &text).surroundings);
        assert_eq!(loaded.is_ok(), fits, "{} characters", text.chars().count());
    }
    check_problems(
        Place::new().variable("BLOGGER_BLOG_STRUCTURE", &"é".repeat(501)),
        expect![[
            r#"BLOGGER_BLOG_STRUCTURE (from the environment): 501 characters, expected 1 to 500 characters"#
        ]],
    );
    check_problems(
        Place::new().toml("blogger.blog_structure = ''"),
        expect![[
            r#"blogger.blog_structure (from genesis-mesh.toml line 1): 0 characters, expected 1 to 500 characters"#
        ]],
    );
}

#[test]
fn lists_are_comma_lists_in_variables_and_lists_in_the_file() {
    let settings = Place::new()
        .variable("SEARXNG_ENGINES", "google scholar, arxiv,,")
        .variable("GENESIS_MESH_ALLOWED_ORIGINS", "https://App.Example:443/, http://localhost:3000")
        .toml("[fetch]\nallowed_networks = ['10.20.3.4/16', 'fd00::/8']\n[server]\nallowed_hosts = 'Mesh.Example, [::1]:8080'")
        .load();
    assert_eq!(settings.searxng.engines, ["google scholar", "arxiv"]);
    assert_eq!(settings.server.allowed_origins, ["https://app.example", "http://localhost:3000"]);
    assert_eq!(settings.server.allowed_hosts, ["mesh.example", "[::1]:8080"]);
    let networks: Vec<String> =
        settings.fetch.allowed_networks.iter().map(IpNet::to_string).collect();
    assert_eq!(networks, ["10.20.0.0/16", "fd00::/8"]);
    let many = vec!["a"; 65].join(",");
    check_problems(
        Place::new().variable("SEARXNG_ENGINES", &many),
        expect![[
            r#"SEARXNG_ENGINES (from the environment): 65 items, expected at most 64 of: 1 to 200 characters"#
        ]],
    );
}

#[test]
fn sizes_and_times_may_carry_units() {
    let settings = Place::new()
        .variable("GENESIS_MESH_MESSAGE_BYTES_MAX", "2 MiB")
        .variable("GENESIS_MESH_FETCH_PAGE_BYTES_MAX", "1500kB")
        .variable("GENESIS_MESH_FETCH_TIMEOUT", "2.5 s")
        .toml("server.drain_timeout = 3")
        .load();
    assert_eq!(settings.server.message_bytes_max, 2 * 1024 * 1024);
    assert_eq!(settings.fetch.page_bytes_max, 1_500_000);
    assert_eq!(settings.fetch.timeout, Duration::from_millis(2500));
    assert_eq!(settings.server.drain_timeout, Duration::from_secs(3));
}

#[test]
fn times_to_live_have_the_names_that_the_langgraph_server_gives_them() {
    let settings = Place::new()
        .toml(
            "[checkpointer.ttl]\nstrategy = \"keep_latest\"\ndefault_ttl = 43200\n\
             sweep_interval_minutes = 10\n\
             [store.ttl]\nrefresh_on_read = false\ndefault_ttl = 0.5\n",
        )
        .variable("GENESIS_MESH_STORE_TTL_SWEEP_MINUTES", "2")
        .load();
    let threads = ThreadTtl {
        strategy: TtlStrategy::KeepLatest,
        default_ttl: Some(43_200.0),
        sweep_interval: Duration::from_mins(10),
    };
    assert_eq!(settings.thread_ttl, threads);
    let items = ItemTtl {
        default_ttl: Some(0.5),
        refresh_on_read: false,
        sweep_interval: Duration::from_mins(2),
    };
    assert_eq!(settings.item_ttl, items);
    let without = Place::new().load();
    assert_eq!((without.thread_ttl.default_ttl, without.item_ttl.default_ttl), (None, None));
    check_problems(
        Place::new()
            .variable("GENESIS_MESH_CHECKPOINTER_TTL", "0")
            .variable("GENESIS_MESH_CHECKPOINTER_TTL_STRATEGY", "archive"),
        expect![[r#"
        GENESIS_MESH_CHECKPOINTER_TTL_STRATEGY (from the environment): archive, expected delete or keep_latest
        GENESIS_MESH_CHECKPOINTER_TTL (from the environment): 0, expected 0.01 to 5256000"#]],
    );
}

#[test]
fn hosts_are_names_or_addresses() {
    for (given, host) in
        [("[::1]", "::1"), ("::", "::"), ("LocalHost", "localhost"), ("0.0.0.0", "0.0.0.0")]
    {
        assert_eq!(Place::new().flag("--host", given).load().server.host, host);
    }
    for wrong in ["http://localhost", "localhost:8080", "a b", "[::1]:80", "127.1"] {
        assert!(Place::new().flag("--host", wrong).problems().starts_with("--host"), "{wrong}");
    }
}

#[test]
fn what_is_shown_can_be_given_back() {
    let settings = Place::new().load();
    for row in settings.rows().iter().filter(|row| !row.text.is_empty()) {
        let again = Place::new().variable(row.variables[0], &row.text).load();
        let found = again.rows().iter().find(|other| other.name == row.name).unwrap();
        assert_eq!((&found.text, &found.json), (&row.text, &row.json), "{}", row.name);
        assert_eq!(found.origin, Origin::Environment { variable: row.variables[0].to_owned() });
    }
}

#[test]
fn names_flags_and_variables_are_unique() {
    let rows = table_rows();
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert!(!row.variables.is_empty(), "{} has no variable", row.name);
        for name in row.variables.iter().copied().chain(row.flag).chain([row.name]) {
            assert!(seen.insert(name), "{name} stands twice");
        }
    }
    for name in rows.iter().map(|row| row.name) {
        let group = format!("{name}.");
        assert!(!rows.iter().any(|row| row.name.starts_with(&group)), "{name} is a group as well");
    }
}

#[test]
fn a_role_without_a_model_takes_the_common_one() {
    let place =
        Place::new().variable("OPENAI_LLM_NAME", "common").toml("[blogger.planner]\nllm = 'own'");
    let settings = place.load();
    let models = settings.blogger_models().unwrap();
    assert_eq!((models.planner, models.executor), ("own", "common"));
    assert_eq!(origin(&settings, "blogger.planner.llm"), "genesis-mesh.toml line 2");
    assert_eq!(origin(&settings, "blogger.executor.llm"), "setting openai.model");
    assert_eq!(settings.blogger.planner.max_tokens, 8192);
    assert!((settings.blogger.planner.temperature - 0.5).abs() < f64::EPSILON);
    assert!((settings.blogger.executor.temperature - 0.3).abs() < f64::EPSILON);
}

#[test]
fn both_spellings_of_a_roles_limits_are_read() {
    let settings = Place::new()
        .variable("BLOGGER_PLANNER_LLM_MAX_TOKENS", "300")
        .variable("BLOGGER_EXECUTOR_MAX_TOKENS", "400")
        .variable("BLOGGER_PLANNER_TEMPERATURE", "0")
        .variable("BLOGGER_EXECUTOR_LLM_TEMPERATURE", "1")
        .load();
    let (planner, executor) = (settings.blogger.planner, settings.blogger.executor);
    assert_eq!((planner.max_tokens, executor.max_tokens), (300, 400));
    assert_eq!(
        (planner.temperature.to_bits(), executor.temperature.to_bits()),
        (0, 1f64.to_bits())
    );
}

#[test]
fn an_incomplete_model_configuration_is_said() {
    check_warnings(
        Place::new().variable("OPENAI_API_KEY", "k"),
        expect![[
            r#"openai.api_key is set but no model is named: the blogger works without a model until openai.model (OPENAI_LLM_NAME) is set"#
        ]],
    );
    check_warnings(
        Place::new().variable("OPENAI_LLM_NAME", "m"),
        expect![[
            r#"a model is named but openai.api_key (OPENAI_API_KEY) is not set: api.openai.com will refuse requests"#
        ]],
    );
    check_warnings(
        Place::new().variable("OPENAI_API_KEY", "k").variable("BLOGGER_PLANNER_LLM", "m"),
        expect![[
            r#"blogger.executor.llm is not set: the blogger works without a model until it, or openai.model, is set"#
        ]],
    );
    let complete = [
        Place::new().variable("OPENAI_API_KEY", "k").variable("OPENAI_LLM_NAME", "m"),
        Place::new()
            .variable("OPENAI_BASE_URL", "http://gpu.example/v1")
            .variable("OPENAI_MODEL", "m"),
    ];
    for place in complete {
        assert_eq!(place.warnings(), "");
        assert!(place.load().blogger_models().is_some());
    }
}

#[test]
fn a_service_address_that_is_this_server_is_said() {
    check_warnings(
        Place::new().variable("SEARXNG_BASE_URL", "http://localhost:8080/"),
        expect![[
            r#"searxng.base_url (http://localhost:8080/) is the address of this server itself: change searxng.base_url, or listen elsewhere with --port"#
        ]],
    );
    let own = |host: &str, url: &str| {
        let settings = Place::new()
            .variable("GENESIS_MESH_ALLOWED_HOSTS", "mesh.example,proxy.example:443,[2001:db8::1]")
            .variable("OPENAI_API_BASE_URL", url)
            .flag("--host", host)
            .load();
        settings.warnings.iter().any(|warning| matches!(warning, Warning::SelfUrl { .. }))
    };
    for url in [
        "http://127.0.0.1:8080/v1",
        "http://127.9.9.9:8080/v1",
        "http://[::1]:8080/v1",
        "http://LOCALHOST.:8080",
        "http://0.0.0.0:8080",
        "http://[::ffff:127.0.0.1]:8080",
        "http://mesh.example:8080",
        "https://mesh.example/v1",
        "https://proxy.example/v1",
        "http://[2001:db8::1]:8080",
    ] {
        assert!(own("127.0.0.1", url), "{url}");
        assert!(own("0.0.0.0", url), "{url}");
    }
    for url in [
        "http://127.0.0.1:8081/v1",
        "http://127.0.0.1/v1",
        "http://models.example:8080",
        "http://proxy.example:8080",
        "http://mesh.example:9000",
        "http://127.0.0.1.example:8080",
        "http://192.168.1.5:8080",
    ] {
        assert!(!own("127.0.0.1", url), "{url}");
    }
    assert!(own("192.168.1.5", "http://192.168.1.5:8080"));
    assert!(!own("192.168.1.5", "http://127.0.0.1:8080"));
}

#[test]
fn with_any_free_port_a_server_asks_again_once_it_knows_it() {
    let place =
        Place::new().flag("--port", "0").variable("SEARXNG_BASE_URL", "http://127.0.0.1:45678/");
    let settings = place.load();
    assert!(settings.warnings.is_empty());
    assert_eq!(settings.self_url_warnings(45678).len(), 1);
    assert!(settings.self_url_warnings(45679).is_empty());
}

#[test]
fn an_open_host_is_said() {
    let open = || Place::new().variable("GENESIS_MESH_UNSAFE_NO_AUTHENTICATION", "true");
    check_warnings(
        open().flag("--host", "0.0.0.0"),
        expect![[r#"
            auth.unsafe_no_authentication is on: the server is less safe than it would be without
            listening on 0.0.0.0: other machines can reach this server, and it asks nobody who they are, so anyone who can connect can use it"#]],
    );
    for host in ["127.0.0.1", "127.0.0.2", "::1", "localhost"] {
        assert_eq!(Place::new().flag("--host", host).warnings(), "");
        assert_eq!(open().flag("--host", host).load().warnings.len(), 1);
    }
    for host in ["::", "192.168.1.5", "mesh.example"] {
        assert_eq!(Place::new().flag("--host", host).warnings(), "", "it does not serve at all");
        let warnings = open().flag("--host", host).load().warnings;
        assert_eq!(warnings.len(), 2);
        assert!(warnings.iter().all(Warning::concerns_serving_only));
    }
    check_warnings(
        Place::new().variable("GENESIS_MESH_UNSAFE_ANY_ORIGIN", "1"),
        expect![[
            r#"server.unsafe_any_origin is on: the server is less safe than it would be without"#
        ]],
    );
}

#[test]
fn a_misspelt_variable_is_said_if_only_we_could_read_it() {
    check_warnings(
        Place::new()
            .variable("GENESIS_MESH_PROT", "1")
            .variable("SEARXNG_SECRET", "of SearXNG itself")
            .variable("OPENAI_ORG", "of others")
            .dot_env("A=1\nBLOGGER_NUMBER_OF_QUERRIES=3"),
        expect![[r#"
            environment: GENESIS_MESH_PROT is not a variable this program reads; the nearest is GENESIS_MESH_PORT
            .env line 2: BLOGGER_NUMBER_OF_QUERRIES is not a variable this program reads; the nearest is BLOGGER_NUMBER_OF_QUERIES"#]],
    );
}

#[test]
fn folders_are_made_absolute() {
    let place = Place::new().toml("data_dir = 'mesh-data'");
    assert_eq!(place.load().data_dir, place.folder.path().join("mesh-data"));
    let place = place.variable("GENESIS_MESH_DATA_DIR", "/srv/mesh");
    assert_eq!(place.load().data_dir, Path::new("/srv/mesh"));
}

#[test]
fn without_a_home_folder_a_data_folder_must_be_given() {
    let mut place = Place::new();
    place.surroundings.data_dir = None;
    check_problems(
        place,
        expect![[
            r#"data_dir: no home folder is known on this system; give one with --data-dir or GENESIS_MESH_DATA_DIR"#
        ]],
    );
    let mut place = Place::new().flag("--data-dir", "/srv/mesh");
    place.surroundings.data_dir = None;
    assert_eq!(place.load().data_dir, Path::new("/srv/mesh"));
}

#[cfg(unix)]
#[test]
fn only_paths_may_be_other_than_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"/srv/m\xffsh".to_vec());
    let mut place = Place::new();
    place.surroundings.environment.insert("GENESIS_MESH_DATA_DIR".to_owned(), odd.clone());
    assert_eq!(place.load().data_dir, Path::new(&odd));
    place.surroundings.environment.insert("OPENAI_LLM_NAME".to_owned(), odd.clone());
    place.surroundings.environment.insert("OPENAI_API_KEY".to_owned(), odd);
    check_problems(
        place,
        expect![[r#"
        OPENAI_API_KEY (from the environment): a value that is no text (not shown), expected 1 to 8192 printable ASCII characters without spaces
        OPENAI_LLM_NAME (from the environment): a text that is not UTF-8, expected 1 to 200 characters"#]],
    );
}

#[test]
fn values_cannot_write_to_the_terminal() {
    let place = Place::new().toml("log.filter = \"info\"\nopenai.model = \"a\\tb\\nc\"");
    let table = place.load().to_table();
    assert!(table.contains(r"a\tb\nc"), "{table}");
    let problems = Place::new().variable("GENESIS_MESH_PORT", "\u{1b}[31m8080").problems();
    assert!(problems.contains(r"\u{1b}[31m8080"), "{problems}");
}

#[test]
fn json_has_whole_values_with_their_types() {
    let json = Place::new().variable("OPENAI_LLM_NAME", "m").load().to_json();
    let settings = json["settings"].as_array().unwrap();
    let find = |name: &str| settings.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(find("server.port")["value"], 8080);
    assert_eq!(find("fetch.timeout")["value"], 20);
    assert_eq!(find("server.allowed_origins")["value"], serde_json::json!([]));
    assert_eq!(find("openai.api_key")["value"], serde_json::Value::Null);
    assert!(find("blogger.blog_structure")["value"].as_str().unwrap().ends_with("next step."));
    assert_eq!(
        find("openai.model")["origin"],
        serde_json::json!({"from": "environment", "variable": "OPENAI_LLM_NAME"})
    );
    assert_eq!(json["file"], serde_json::Value::Null);
}
