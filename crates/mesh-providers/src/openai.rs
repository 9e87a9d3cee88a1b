//! Servers with OpenAI's chat completions: OpenAI, vLLM, llama.cpp, Ollama, LM Studio and others.
//!
//! Built on genai, which writes the requests and reads the event stream, with our own HTTP client
//! and a target given per call. What we add: bounded retries before the first token, errors a
//! caller can act on, falling back where a server does not know a field, and an honest end.

mod endpoint;
mod failure;
mod frames;
mod request;
mod stream;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt, stream as futures_stream};
use genai::adapter::AdapterKind;
use genai::chat::{ChatFrameSink, ChatOptions, JsonSpec, ReasoningEffort};
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use mesh_model::{ChatModel, ChatRequest, ChatStream, ModelError, ModelInfo, Retry, TimeoutPhase};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use failure::{Failure, Reader, Unsupported};
use frames::Frames;
pub use request::SCHEMA_NAME_CHARS_MAX;
use stream::Deltas;

/// Longest wait between two attempts when the server does not name one; jitter may double it.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(20);

/// Longest wait a server may ask for. A longer one is not slept through: the error goes to the
/// caller at once, with the time in it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// Fields a server may turn out not to know: the schema, and the report of tokens.
const FALLBACKS_MAX: u32 = 2;

/// How to reach a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenAiConfig {
    /// Address of the API, `http` or `https`. Without a path, `/v1` is assumed; with one, it is
    /// taken as it is: `http://localhost:11434`, `https://api.openai.com/v1` and
    /// `https://api.openai.com/v1/` all work. A whole `…/chat/completions` works too.
    pub base_url: Url,
    /// Name of the model at the server.
    pub model: String,
    /// Sent as bearer token; servers on one's own machine need none.
    pub api_key: Option<SecretString>,
    /// Who serves the model, for display and metadata: `openai` unless set.
    pub provider: String,
    /// Time to make a connection.
    pub connect_timeout: Duration,
    /// Time from the request to the head of the answer, connection included. Servers on one's own
    /// machine load the model and read the prompt in this time.
    pub header_timeout: Duration,
    /// Silence allowed within a reply. There is no limit on a reply as a whole.
    pub read_timeout: Duration,
    /// Attempts per call, the first one included. Only what fails before the first token is tried
    /// again: no connection, and statuses 408, 409, 429 and 5xx.
    pub attempts_max: NonZeroU32,
    /// Wait before the second attempt; doubles with each one up to [`RETRY_DELAY_MAX`], with up to
    /// the same again as jitter. A server's `Retry-After` takes its place.
    pub retry_delay: Duration,
    /// The `User-Agent` header.
    pub user_agent: String,
}

impl OpenAiConfig {
    /// A model at a server, without a key, with defaults that suit both a cloud and a laptop.
    pub fn new(base_url: Url, model: impl Into<String>, user_agent: impl Into<String>) -> Self {
        Self {
            base_url,
            model: model.into(),
            api_key: None,
            provider: "openai".into(),
            connect_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_mins(5),
            read_timeout: Duration::from_mins(2),
            attempts_max: NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN),
            retry_delay: Duration::from_millis(500),
            user_agent: user_agent.into(),
        }
    }

    /// Sets the key.
    pub fn api_key(mut self, api_key: impl Into<SecretString>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }
}

/// A configuration cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL is not one of an API.
    #[error("base_url: expected {expected}")]
    BaseUrl {
        /// What it should be.
        expected: &'static str,
    },
    /// A value is empty or has characters that cannot be sent.
    #[error("{field}: expected {expected}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The HTTP client could not be set up, for example without a store of certificates.
    #[error("the HTTP client could not be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A model behind OpenAI's chat completions.
///
/// Cheap to share through an `Arc`; holds a pool of connections. Redirects are not followed, since
/// they would carry the key elsewhere. A server on this machine is reached without a proxy.
pub struct OpenAi {
    info: ModelInfo,
    target: ServiceTarget,
    client: genai::Client,
    reader: Arc<Reader>,
    options: ChatOptions,
    backoff: ExponentialBuilder,
    /// This server was found not to know `response_format`: the schema goes into the prompt.
    schema_in_prompt: AtomicBool,
    /// This server was found not to know `stream_options`: tokens stay unknown unless it reports
    /// them unasked.
    usage_unasked: AtomicBool,
}

/// What is left out of a request.
#[derive(Debug, Clone, Copy)]
struct Dialect {
    schema_in_prompt: bool,
    usage_unasked: bool,
}

impl OpenAi {
    /// Sets up the connection pool; nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigError`] names the field and what was expected.
    pub fn new(config: OpenAiConfig) -> Result<Self, ConfigError> {
        let url = endpoint::chat_url(&config.base_url)?;
        if config.model.is_empty() {
            return Err(ConfigError::Value { field: "model", expected: "a name" });
        }
        for (field, timeout) in [
            ("connect_timeout", config.connect_timeout),
            ("header_timeout", config.header_timeout),
            ("read_timeout", config.read_timeout),
        ] {
            if timeout.is_zero() {
                return Err(ConfigError::Value { field, expected: "more than no time" });
            }
        }
        let client = http_client(&config, endpoint::is_loopback(&url))?;
        let client = genai::Client::builder()
            .with_reqwest(client)
            .build()
            .map_err(|error| ConfigError::Client(error.to_string().into()))?;
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(url.as_str()),
            // Our own address and no header at all: the key is a default header of the client,
            // marked as sensitive there, and a server without one gets none.
            auth: AuthData::RequestOverride { url: url.into(), headers: Headers::default() },
            model: ModelIden::new(AdapterKind::OpenAI, config.model.as_str()),
        };
        let options = ChatOptions::default()
            .with_stream_header_timeout(config.header_timeout)
            .with_stream_read_timeout(config.read_timeout)
            // The library reads an effort and a namespace out of model names such as `x-high` and
            // `a::b`. A budget has no keyword in this API, so nothing is sent for it and the name
            // stays whole; the name given here wins over the one it would send.
            .with_reasoning_effort(ReasoningEffort::Budget(0))
            .with_extra_body(json!({ "model": config.model }));
        let retries = config.attempts_max.get() - 1;
        Ok(Self {
            info: ModelInfo { provider: config.provider, name: config.model.clone() },
            target,
            client,
            reader: Arc::new(Reader { model: config.model, key: config.api_key }),
            options,
            backoff: ExponentialBuilder::new()
                .with_min_delay(config.retry_delay)
                .with_max_delay(RETRY_DELAY_MAX)
                .with_max_times(retries as usize)
                .with_jitter(),
            schema_in_prompt: AtomicBool::new(false),
            usage_unasked: AtomicBool::new(false),
        })
    }

    fn options(&self, request: &ChatRequest, dialect: Dialect) -> ChatOptions {
        let mut options = self.options.clone().with_capture_usage(!dialect.usage_unasked);
        options.temperature = request.temperature;
        options.max_tokens = request.max_tokens;
        options.seed = request.seed;
        options.stop_sequences.clone_from(&request.stop);
        if let Some(schema) = &request.response_schema
            && !dialect.schema_in_prompt
        {
            let spec = JsonSpec::new(schema.name.as_str(), schema.schema.clone());
            options = options.with_response_format(spec);
        }
        options
    }

    /// One request, up to the first delta.
    async fn attempt(
        &self,
        request: genai::chat::ChatRequest,
        options: &ChatOptions,
    ) -> Result<ChatStream, Failure> {
        let frames = Arc::new(Frames::default());
        let sink: Arc<dyn ChatFrameSink> = Arc::clone(&frames) as _;
        let options = options.clone().with_raw_frame_sink_arc(sink);
        let opened = self.client.exec_chat_stream(self.target.clone(), request, Some(&options));
        let events = opened.await.map_err(|error| self.reader.read(error))?.stream;
        let mut deltas = Deltas::new(events, frames, Arc::clone(&self.reader));
        // The library sends the request on the first poll, so its refusals come here.
        let first = deltas.next().await.transpose()?;
        let rest = deltas.map_err(|failure| failure.error);
        Ok(ChatStream::new(futures_stream::iter(first.map(Ok)).chain(rest)))
    }

    /// Learns from a refusal what to leave out. `None` if it was left out already.
    fn forgo(&self, unsupported: Unsupported, mut dialect: Dialect) -> Option<Dialect> {
        let (field, left_out) = match unsupported {
            Unsupported::ResponseFormat | Unsupported::ThisSchema => {
                ("response_format", &mut dialect.schema_in_prompt)
            }
            Unsupported::StreamOptions => ("stream_options", &mut dialect.usage_unasked),
        };
        if std::mem::replace(left_out, true) {
            return None;
        }
        match unsupported {
            Unsupported::ResponseFormat => self.schema_in_prompt.store(true, Ordering::Relaxed),
            Unsupported::StreamOptions => self.usage_unasked.store(true, Ordering::Relaxed),
            // Another schema may do.
            Unsupported::ThisSchema => {}
        }
        tracing::debug!(model = self.info.name, field, "the server refuses a field: left out");
        Some(dialect)
    }
}

#[async_trait]
impl ChatModel for OpenAi {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, ModelError> {
        let mut dialect = Dialect {
            schema_in_prompt: self.schema_in_prompt.load(Ordering::Relaxed),
            usage_unasked: self.usage_unasked.load(Ordering::Relaxed),
        };
        let mut fallbacks = 0;
        loop {
            let schema = request.response_schema.as_ref();
            let wire = request::to_wire(&request, schema.filter(|_| dialect.schema_in_prompt))?;
            let options = self.options(&request, dialect);
            let failure = match (|| self.attempt(wire.clone(), &options))
                .retry(self.backoff)
                .adjust(next_wait)
                .notify(|failure, delay| {
                    let millis = delay.as_millis() as u64;
                    let error = &failure.error;
                    tracing::info!(model = self.info.name, %error, millis, "asking again");
                })
                .await
            {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            let Failure { error, unsupported } = failure;
            match unsupported.and_then(|unsupported| self.forgo(unsupported, dialect)) {
                Some(lesser) if fallbacks < FALLBACKS_MAX => dialect = lesser,
                _ => return Err(error),
            }
            fallbacks += 1;
        }
    }
}

/// How long to wait before the next attempt; `None` ends the attempts. `planned` is our own wait,
/// `None` after the last attempt.
fn next_wait(failure: &Failure, planned: Option<Duration>) -> Option<Duration> {
    let planned = planned?;
    let nothing_was_done = matches!(
        failure.error,
        ModelError::RateLimited { .. }
            | ModelError::Unavailable { .. }
            | ModelError::Timeout { phase: TimeoutPhase::Connecting }
    );
    if !nothing_was_done {
        return None;
    }
    match failure.error.retry() {
        Retry::No => None,
        Retry::Yes => Some(planned),
        Retry::After(wait) => (wait <= RETRY_AFTER_MAX).then_some(wait),
    }
}

fn http_client(config: &OpenAiConfig, loopback: bool) -> Result<reqwest::Client, ConfigError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &config.api_key {
        let expected = "printable characters, without a line break";
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
            .map_err(|_| ConfigError::Value { field: "api_key", expected })?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    let agent = HeaderValue::try_from(config.user_agent.as_str()).map_err(|_| {
        ConfigError::Value { field: "user_agent", expected: "printable characters" }
    })?;
    let mut builder = reqwest::Client::builder()
        .user_agent(agent)
        .default_headers(headers)
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .redirect(Policy::none());
    if loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| ConfigError::Client(error.into()))
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("info", &self.info).finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<OpenAi>();
};
