//! The one list of settings.
//!
//! Each `reader.read` below is one entry: name in `genesis-mesh.toml`, what it is for, flag and
//! variables (the first listed wins), kind with bounds, default. The entry's place in the struct
//! expression is the field it fills, so an entry without a field, or a field without an entry,
//! does not compile.
//!
//! The variables `BLOGGER_*`, `OPENAI_*` and `SEARXNG_*` are names that blog agents of this
//! design are already configured with; they are promises and are never renamed.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::kind::{
    BodyFormat, Bytes, Decimal, Folder, HostHeader, HttpUrl, Integer, LineFormat, List, ListenHost,
    LogFilter, LogFormat, Minutes, Network, OneFile, Optional, Seconds, Secret, Strategy, Switch,
    Text, UrlPath, WebOrigin,
};
use super::layers::{Entry, Reader, entry};
use super::{
    Auth, Blogger, ErrorFormat, Fetch, ItemTtl, Log, OpenAi, Origin, Problem, Role, Searxng,
    Server, Settings, Surroundings, ThreadTtl, TtlStrategy, Webhooks,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MB: usize = 1_000_000;

/// The structure of a post when neither the request nor a setting names one.
const BLOG_STRUCTURE: &str = "An introduction that says what the reader will be able to do \
    afterwards; two to five main sections, each answering one question with one concrete example; \
    a conclusion that weighs the answers against each other and names the next step.";

/// Names of models, engines and the like; longer ones are a pasted mistake.
const NAME: std::ops::RangeInclusive<usize> = 1..=200;

/// Minutes that something is kept: from less than a second to ten years.
const KEPT: std::ops::RangeInclusive<f64> = 0.01..=5_256_000.0;

/// Minutes between two looks for what is not to be kept any longer.
const SWEPT: std::ops::RangeInclusive<u64> = 1..=1440;

/// Reads every setting. `rows`, `file` and `warnings` are left empty for the caller.
pub(super) fn read(reader: &mut Reader<'_>, surroundings: &Surroundings) -> Settings {
    let server = Server {
        host: reader.read(
            entry(
                "server.host",
                "Name or address to listen on. Anything but a loopback address \
                 lets other machines in, and is refused until it is known who may ask.",
            )
            .flag("--host")
            .variables(&["GENESIS_MESH_HOST"]),
            ListenHost,
            "127.0.0.1".to_owned(),
        ),
        port: reader.read(
            entry("server.port", "Port to listen on; 0 takes any free port.")
                .flag("--port")
                .variables(&["GENESIS_MESH_PORT"]),
            Integer { range: 0..=u16::MAX },
            8080,
        ),
        allowed_origins: reader.read(
            entry(
                "server.allowed_origins",
                "Web pages of these origins may open a socket, \
                 besides the server's own.",
            )
            .variables(&["GENESIS_MESH_ALLOWED_ORIGINS"]),
            List(WebOrigin),
            Vec::new(),
        ),
        allowed_hosts: reader.read(
            entry(
                "server.allowed_hosts",
                "Host names under which the server may be asked, \
                 besides its own address.",
            )
            .variables(&["GENESIS_MESH_ALLOWED_HOSTS"]),
            List(HostHeader),
            Vec::new(),
        ),
        unsafe_any_origin: reader.read(
            entry(
                "server.unsafe_any_origin",
                "Lets the pages of every origin use the server, \
                 also those that a stranger made.",
            )
            .variables(&["GENESIS_MESH_UNSAFE_ANY_ORIGIN"]),
            Switch,
            false,
        ),
        error_format: reader.read(
            entry("server.error_format", "Bodies of HTTP errors: JSON, or their text alone.")
                .flag("--error-format")
                .variables(&["GENESIS_MESH_ERROR_FORMAT"]),
            BodyFormat,
            ErrorFormat::Json,
        ),
        message_bytes_max: reader.read(
            entry("server.message_bytes_max", "Largest message accepted from a client.")
                .variables(&["GENESIS_MESH_MESSAGE_BYTES_MAX"]),
            Bytes { range: KIB..=64 * MIB },
            MIB,
        ),
        connections_max: reader.read(
            entry("server.connections_max", "Connections held at once.")
                .variables(&["GENESIS_MESH_CONNECTIONS_MAX"]),
            Integer { range: 1..=100_000 },
            1024,
        ),
        connections_of_caller_max: reader.read(
            entry(
                "server.connections_of_caller_max",
                "Connections that one caller may have busy at once, where callers have to say who \
                 they are.",
            )
            .variables(&["GENESIS_MESH_CONNECTIONS_OF_CALLER_MAX"]),
            Integer { range: 1..=100_000 },
            512,
        ),
        pending_runs_max: reader.read(
            entry(
                "server.pending_runs_max",
                "Runs of one caller that may wait for their turn; everybody is one caller where \
                 nobody has to say who they are.",
            )
            .variables(&["GENESIS_MESH_PENDING_RUNS_MAX"]),
            Integer { range: 1..=1_000_000 },
            10_000,
        ),
        state_bytes_max: reader.read(
            entry(
                "server.state_bytes_max",
                "Size of a thread's state, as JSON, above which it takes no more runs and changes.",
            )
            .variables(&["GENESIS_MESH_STATE_BYTES_MAX"]),
            Bytes { range: KIB..=512 * MIB },
            64 * MIB,
        ),
        drain_timeout: reader.read(
            entry("server.drain_timeout", "How long running work may finish after a stop signal.")
                .variables(&["GENESIS_MESH_DRAIN_TIMEOUT"]),
            Seconds { range: 0..=600 },
            Duration::from_secs(10),
        ),
        pause_hold: reader.read(
            entry(
                "server.pause_hold",
                "How long a connection of the event protocol that only hears how runs go \
                 holds back that one paused or ended: clients stop reading the others at that.",
            )
            .variables(&["GENESIS_MESH_PAUSE_HOLD"]),
            Seconds { range: 0..=10 },
            Duration::from_millis(100),
        ),
    };
    let data_dir = data_dir(reader, surroundings);
    let auth = auth(reader, surroundings);
    let log = Log {
        filter: reader.read(
            entry("log.filter", "What is logged: a level, or levels by module.")
                .flag("--log")
                .variables(&["GENESIS_MESH_LOG", "RUST_LOG"]),
            LogFilter,
            "info".to_owned(),
        ),
        format: reader.read(
            entry("log.format", "Log lines for people or one JSON object per line.")
                .variables(&["GENESIS_MESH_LOG_FORMAT"]),
            LineFormat,
            LogFormat::Text,
        ),
    };
    let openai = OpenAi {
        base_url: reader.read(
            entry(
                "openai.base_url",
                "Address of an OpenAI-compatible service, up to and without \
                 `/chat/completions`.",
            )
            .variables(&["OPENAI_API_BASE_URL", "OPENAI_BASE_URL"]),
            HttpUrl,
            openai_url(),
        ),
        api_key: reader.read(
            entry("openai.api_key", "Key of that service. Local services often need none.")
                .variables(&["OPENAI_API_KEY"]),
            Optional(Secret),
            None,
        ),
        model: reader.read(
            entry(
                "openai.model",
                "Model of every role that names none of its own. Without it \
                 the blogger works without a model.",
            )
            .variables(&["OPENAI_LLM_NAME", "OPENAI_MODEL"]),
            Optional(Text { chars: NAME }),
            None,
        ),
    };
    let blogger = Blogger {
        blog_structure: reader.read(
            entry("blogger.blog_structure", "Structure of a post unless the request names one.")
                .variables(&["BLOGGER_BLOG_STRUCTURE"]),
            Text { chars: 1..=500 },
            BLOG_STRUCTURE.to_owned(),
        ),
        number_of_queries: reader.read(
            entry("blogger.number_of_queries", "Search queries per section.")
                .variables(&["BLOGGER_NUMBER_OF_QUERIES"]),
            Integer { range: 1..=3 },
            2,
        ),
        parallel_sections: reader.read(
            entry("blogger.parallel_sections", "Sections worked on at once.")
                .variables(&["BLOGGER_PARALLEL_SECTIONS"]),
            Integer { range: 1..=16 },
            4,
        ),
        planner: role(
            reader,
            &openai,
            0.5,
            entry("blogger.planner.llm", "Model that plans posts and search queries.")
                .variables(&["BLOGGER_PLANNER_LLM"]),
            entry("blogger.planner.max_tokens", "Longest answer asked of the planner, in tokens.")
                .variables(&["BLOGGER_PLANNER_LLM_MAX_TOKENS", "BLOGGER_PLANNER_MAX_TOKENS"]),
            entry("blogger.planner.temperature", "Sampling temperature of the planner.")
                .variables(&["BLOGGER_PLANNER_LLM_TEMPERATURE", "BLOGGER_PLANNER_TEMPERATURE"]),
        ),
        executor: role(
            reader,
            &openai,
            0.3,
            entry("blogger.executor.llm", "Model that writes sections.")
                .variables(&["BLOGGER_EXECUTOR_LLM"]),
            entry(
                "blogger.executor.max_tokens",
                "Longest answer asked of the executor, in tokens.",
            )
            .variables(&["BLOGGER_EXECUTOR_LLM_MAX_TOKENS", "BLOGGER_EXECUTOR_MAX_TOKENS"]),
            entry("blogger.executor.temperature", "Sampling temperature of the executor.")
                .variables(&["BLOGGER_EXECUTOR_LLM_TEMPERATURE", "BLOGGER_EXECUTOR_TEMPERATURE"]),
        ),
    };
    let searxng = Searxng {
        base_url: reader.read(
            entry(
                "searxng.base_url",
                "Address of a SearXNG instance. Without it there is no web \
                 search.",
            )
            .variables(&["SEARXNG_BASE_URL"]),
            Optional(HttpUrl),
            None,
        ),
        search_path: reader.read(
            entry("searxng.search_path", "Path of the instance's search page.")
                .variables(&["SEARXNG_SEARCH_PATH"]),
            UrlPath,
            "/search".to_owned(),
        ),
        engines: reader.read(
            entry("searxng.engines", "Engines to ask; empty leaves the choice to the instance.")
                .variables(&["SEARXNG_ENGINES"]),
            List(Text { chars: NAME }),
            Vec::new(),
        ),
        min_score: reader.read(
            entry(
                "searxng.min_score",
                "Results with a lower score are left out. Scores are \
                 summed over engines, so they may exceed 1.",
            )
            .variables(&["SEARXNG_MIN_SCORE"]),
            Decimal { range: 0.0..=100.0 },
            0.4,
        ),
    };
    let fetch = Fetch {
        pages_max: reader.read(
            entry("fetch.pages_max", "Web pages read in one run.")
                .variables(&["GENESIS_MESH_FETCH_PAGES_MAX"]),
            Integer { range: 1..=1000 },
            60,
        ),
        page_bytes_max: reader.read(
            entry("fetch.page_bytes_max", "Largest page read, after decompression.")
                .variables(&["GENESIS_MESH_FETCH_PAGE_BYTES_MAX"]),
            Bytes { range: KIB..=64 * MIB },
            5 * MB,
        ),
        timeout: reader.read(
            entry("fetch.timeout", "Longest time for one page, redirects included.")
                .variables(&["GENESIS_MESH_FETCH_TIMEOUT"]),
            Seconds { range: 1..=300 },
            Duration::from_secs(20),
        ),
        allowed_networks: reader.read(
            entry(
                "fetch.allowed_networks",
                "Networks that may be read from although they are \
                 not public, such as an intranet's.",
            )
            .variables(&["GENESIS_MESH_FETCH_ALLOWED_NETWORKS"]),
            List(Network),
            Vec::new(),
        ),
    };
    let webhooks = Webhooks {
        secret: reader.read(
            entry(
                "webhooks.secret",
                "What webhooks are signed with, so that their receivers know where they come \
                 from. Without it they are not signed.",
            )
            .variables(&["GENESIS_MESH_WEBHOOKS_SECRET"]),
            Optional(Secret),
            None,
        ),
    };
    let thread_ttl = ThreadTtl {
        strategy: reader.read(
            entry(
                "checkpointer.ttl.strategy",
                "What happens to a thread whose time is up: it goes, or its newest checkpoint \
                 stays.",
            )
            .variables(&["GENESIS_MESH_CHECKPOINTER_TTL_STRATEGY"]),
            Strategy,
            TtlStrategy::Delete,
        ),
        default_ttl: reader.read(
            entry(
                "checkpointer.ttl.default_ttl",
                "Minutes that a new thread is kept after it was last used, unless whoever makes \
                 it says so; for ever without.",
            )
            .variables(&["GENESIS_MESH_CHECKPOINTER_TTL"]),
            Optional(Decimal { range: KEPT }),
            None,
        ),
        sweep_interval: reader.read(
            entry(
                "checkpointer.ttl.sweep_interval_minutes",
                "Minutes between two looks for threads whose time is up.",
            )
            .variables(&["GENESIS_MESH_CHECKPOINTER_TTL_SWEEP_MINUTES"]),
            Minutes { range: SWEPT },
            Duration::from_mins(1),
        ),
    };
    let item_ttl = ItemTtl {
        default_ttl: reader.read(
            entry(
                "store.ttl.default_ttl",
                "Minutes that an item of the store is kept after it was written, unless whoever \
                 writes it says so; for ever without.",
            )
            .variables(&["GENESIS_MESH_STORE_TTL"]),
            Optional(Decimal { range: KEPT }),
            None,
        ),
        refresh_on_read: reader.read(
            entry(
                "store.ttl.refresh_on_read",
                "Whether reading an item starts its time anew, unless the request says so.",
            )
            .variables(&["GENESIS_MESH_STORE_TTL_REFRESH_ON_READ"]),
            Switch,
            true,
        ),
        sweep_interval: reader.read(
            entry(
                "store.ttl.sweep_interval_minutes",
                "Minutes between two looks for items whose time is up.",
            )
            .variables(&["GENESIS_MESH_STORE_TTL_SWEEP_MINUTES"]),
            Minutes { range: SWEPT },
            Duration::from_mins(5),
        ),
    };
    Settings {
        server,
        data_dir,
        auth,
        log,
        openai,
        blogger,
        searxng,
        fetch,
        webhooks,
        thread_ttl,
        item_ttl,
        warnings: Vec::new(),
        rows: Vec::new(),
        file: None,
    }
}

fn auth(reader: &mut Reader<'_>, surroundings: &Surroundings) -> Auth {
    Auth {
        unsafe_no_authentication: reader.read(
            entry(
                "auth.unsafe_no_authentication",
                "Asks nobody who they are, also where other machines can reach the server.",
            )
            .variables(&["GENESIS_MESH_UNSAFE_NO_AUTHENTICATION"]),
            Switch,
            false,
        ),
        jwt_secret: reader.read(
            entry(
                "auth.jwt_secret",
                "Takes bearer tokens signed with this secret (HS256); at least 32 bytes.",
            )
            .variables(&["GENESIS_MESH_JWT_SECRET"]),
            Optional(Secret),
            None,
        ),
        jwks_url: reader.read(
            entry(
                "auth.jwks_url",
                "Takes bearer tokens signed with a key of this key set; https, or http on this \
                 machine.",
            )
            .variables(&["GENESIS_MESH_JWKS_URL"]),
            Optional(HttpUrl),
            None,
        ),
        jwks_file: reader.read(
            entry(
                "auth.jwks_file",
                "Takes bearer tokens signed with a key of the set in this file.",
            )
            .variables(&["GENESIS_MESH_JWKS_FILE"]),
            Optional(OneFile { working_directory: surroundings.working_directory.clone() }),
            None,
        ),
        issuer: reader.read(
            entry("auth.issuer", "The `iss` of bearer tokens; needed with a key set.")
                .variables(&["GENESIS_MESH_AUTH_ISSUER"]),
            Optional(Text { chars: NAME }),
            None,
        ),
        audiences: reader.read(
            entry("auth.audiences", "Bearer tokens name one as `aud`; needed with a key set.")
                .variables(&["GENESIS_MESH_AUTH_AUDIENCES"]),
            List(Text { chars: NAME }),
            Vec::new(),
        ),
        subjects: reader.read(
            entry("auth.subjects", "Only bearer tokens with one of these as `sub`; empty for all.")
                .variables(&["GENESIS_MESH_AUTH_SUBJECTS"]),
            List(Text { chars: NAME }),
            Vec::new(),
        ),
    }
}

/// The three settings that every role of an agent has.
fn role(
    reader: &mut Reader<'_>,
    openai: &OpenAi,
    temperature: f64,
    llm: Entry,
    max_tokens: Entry,
    temperature_entry: Entry,
) -> Role {
    let name = llm.name;
    let kind = Optional(Text { chars: NAME });
    let mut chosen = reader.read(llm.default_words("`openai.model`"), kind, None);
    if chosen.is_none() && openai.model.is_some() {
        chosen.clone_from(&openai.model);
        reader.inherit(name, "openai.model");
    }
    Role {
        llm: chosen,
        max_tokens: reader.read(max_tokens, Integer { range: 256..=32_768 }, 8192),
        temperature: reader.read(temperature_entry, Decimal { range: 0.0..=1.0 }, temperature),
    }
}

fn data_dir(reader: &mut Reader<'_>, surroundings: &Surroundings) -> PathBuf {
    let chosen = reader.read(
        entry("data_dir", "Folder that holds all the mesh writes; made when first needed.")
            .flag("--data-dir")
            .variables(&["GENESIS_MESH_DATA_DIR"])
            .default_words("the platform's data folder, on Linux `~/.local/share/genesis-mesh`"),
        Optional(Folder { working_directory: surroundings.working_directory.clone() }),
        surroundings.data_dir.clone(),
    );
    chosen.unwrap_or_else(|| {
        if reader.origin("data_dir") == Some(&Origin::Default) {
            reader.problem(Problem::NoDataDir);
        }
        PathBuf::new()
    })
}

#[expect(clippy::expect_used, reason = "a constant; every start and every test parses it")]
fn openai_url() -> Url {
    Url::parse("https://api.openai.com/v1").expect("a valid URL")
}
