//! From what a server or the connection did wrong to the error a caller acts on.

use std::string::FromUtf8Error;

use genai::webc::StreamTimeout;
use jiff::Timestamp;
use mesh_model::{ModelError, ReplyProblem, TimeoutPhase};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::retry_after::retry_after;

/// Characters of a provider's code that reach an error message.
const CODE_CHARS_MAX: usize = 64;

/// A failed attempt, with what decides about the next one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ModelError,
    /// A field of the request that this server does not know.
    pub(crate) unsupported: Option<Unsupported>,
}

/// A field that older servers refuse and that can be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// `response_format` with a schema, as such.
    ResponseFormat,
    /// This schema, by a server that knows the field.
    ThisSchema,
    /// `stream_options`.
    StreamOptions,
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self { error, unsupported: None }
    }
}

/// What is needed to read a failure.
pub(crate) struct Reader {
    pub(crate) model: String,
    /// To keep it out of the log, should a server repeat it.
    pub(crate) key: Option<SecretString>,
}

impl Reader {
    /// Takes the library's error apart. It is never kept as a source: its text contains requests
    /// and replies.
    pub(crate) fn read(&self, error: genai::Error) -> Failure {
        match error {
            genai::Error::HttpError { status, body, headers, .. } => {
                self.refusal(Some(status.as_u16()), &headers, &body)
            }
            genai::Error::ChatResponse { body, .. } => {
                // An error inside the stream; its status is in the body, if anywhere.
                let status = status_in(&body);
                let body = serde_json::json!({ "error": body }).to_string();
                self.refusal(status, &HeaderMap::new(), &body)
            }
            genai::Error::StreamParse { serde_error, .. } if serde_error.is_eof() => {
                ModelError::Cut { source: None }.into()
            }
            genai::Error::WebStream { error, .. } => self.transport(error),
            _ => ModelError::BadReply { problem: ReplyProblem::NotJson }.into(),
        }
    }

    fn transport(&self, error: genai::BoxError) -> Failure {
        let error = match error.downcast::<genai::Error>() {
            Ok(error) => return self.read(*error),
            Err(error) => error,
        };
        let error = match error.downcast::<reqwest::Error>() {
            Ok(error) => return connection(*error).into(),
            Err(error) => error,
        };
        if let Some(timeout) = error.downcast_ref::<StreamTimeout>() {
            let phase = match timeout {
                StreamTimeout::Headers => TimeoutPhase::Answering,
                StreamTimeout::Read => TimeoutPhase::Streaming,
            };
            return ModelError::Timeout { phase }.into();
        }
        let utf8 = error.downcast_ref::<FromUtf8Error>().map(FromUtf8Error::utf8_error);
        match utf8.or_else(|| error.downcast_ref().copied()) {
            Some(utf8) if utf8.error_len().is_some() => {
                ModelError::BadReply { problem: ReplyProblem::NotUtf8 }.into()
            }
            // A character that has begun and not ended, or a kind of error we have not met.
            _ => ModelError::Cut { source: None }.into(),
        }
    }

    fn refusal(&self, status: Option<u16>, headers: &HeaderMap, body: &str) -> Failure {
        let complaint = Complaint::read(body);
        self.trace(status, &complaint);
        let retry_after = retry_after(headers, Timestamp::now());
        let unavailable = || ModelError::Unavailable { status, retry_after, source: None };
        // Some servers report these two with the status of their own failure.
        if complaint.is_about_context() || status == Some(413) {
            return ModelError::ContextTooLong.into();
        }
        let error = match status {
            Some(401 | 403) => ModelError::Authentication { status: status.unwrap_or_default() },
            Some(402) => ModelError::QuotaExceeded,
            Some(404) => ModelError::NotFound { model: self.model.clone() },
            Some(429) if complaint.is_about_quota() => ModelError::QuotaExceeded,
            Some(429) => ModelError::RateLimited { retry_after },
            Some(408 | 409 | 500 | 502..=504 | 506..=599) => unavailable(),
            _ if complaint.is_about_content() => ModelError::ContentFiltered,
            _ => ModelError::Refused { status, code: complaint.code.clone() },
        };
        let unsupported = matches!(status, Some(400 | 422)).then(|| complaint.unsupported());
        Failure { error, unsupported: unsupported.flatten() }
    }

    fn trace(&self, status: Option<u16>, complaint: &Complaint) {
        // The only place where words of a server are logged; they may quote the prompt.
        if tracing::enabled!(tracing::Level::TRACE) {
            let mut message = complaint.message.clone();
            if let Some(key) = self.key.as_ref().map(ExposeSecret::expose_secret) {
                message = message.replace(key, "[key]");
            }
            tracing::trace!(model = self.model, status, message, "the server refused");
        }
    }
}

fn connection(error: reqwest::Error) -> ModelError {
    // An address may carry a key in its query.
    let error = error.without_url();
    if error.is_connect() && error.is_timeout() {
        ModelError::Timeout { phase: TimeoutPhase::Connecting }
    } else if error.is_connect() || error.is_request() {
        ModelError::Unavailable { status: None, retry_after: None, source: Some(error.into()) }
    } else {
        ModelError::Cut { source: Some(error.into()) }
    }
}

/// The status of an error that is told inside a stream.
fn status_in(error: &Value) -> Option<u16> {
    let code = error.get("code").or_else(|| error.get("status"));
    if let Some(status) = code.and_then(Value::as_u64) {
        return u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    }
    let named = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let names = [named("type"), named("code")];
    let is = |known: &[&str]| names.iter().any(|name| known.contains(name));
    if is(&["rate_limit_exceeded", "rate_limit_error", "insufficient_quota"]) {
        Some(429)
    } else if is(&["server_error", "internal_server_error", "api_error"]) {
        Some(500)
    } else if is(&["overloaded_error", "unavailable", "unavailable_error"]) {
        Some(503)
    } else {
        None
    }
}

/// What a server says about a refusal, from the several shapes that servers use.
#[derive(Default)]
struct Complaint {
    /// In the server's words; for reading, never for showing.
    message: String,
    /// Machine-readable code or type, cut to harmless characters.
    code: Option<String>,
}

impl Complaint {
    fn read(body: &str) -> Self {
        let Ok(json) = serde_json::from_str::<Value>(body) else {
            // Plain text names what it dislikes; a web page is only noise.
            let is_page = body.trim_start().starts_with('<');
            return Self { message: if is_page { String::new() } else { body.into() }, code: None };
        };
        // OpenAI and llama.cpp nest it, older vLLM does not, Ollama and others give a bare text.
        let error = json.get("error").unwrap_or(&json);
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let mut message = error.as_str().or_else(|| text("message")).unwrap_or_default().to_owned();
        if let Some(param) = text("param") {
            message = format!("{param}: {message}");
        }
        // FastAPI: places and words only, since `input` repeats the whole request.
        for detail in json.get("detail").and_then(Value::as_array).into_iter().flatten() {
            let place = detail.get("loc").map(Value::to_string).unwrap_or_default();
            let words = detail.get("msg").and_then(Value::as_str).unwrap_or_default();
            message = format!("{message} {place}: {words}");
        }
        if let Some(detail) = json.get("detail").and_then(Value::as_str) {
            message = format!("{message} {detail}");
        }
        let code = text("code").or_else(|| text("type")).map(harmless);
        Self { message, code: code.filter(|code| !code.is_empty()) }
    }

    fn mentions(&self, words: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        let code = self.code.as_deref().unwrap_or_default();
        words.iter().any(|word| message.contains(word) || code == *word)
    }

    fn is_about_context(&self) -> bool {
        self.mentions(&[
            "context_length_exceeded",
            "exceed_context_size_error",
            "maximum context length",
            "available context size",
            "context window",
            "prompt is too long",
        ])
    }

    fn is_about_quota(&self) -> bool {
        self.mentions(&[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "exceeded your current quota",
        ])
    }

    fn is_about_content(&self) -> bool {
        self.mentions(&["content_filter", "content_policy_violation", "responsible ai"])
    }

    fn unsupported(&self) -> Option<Unsupported> {
        if self.mentions(&["stream_options", "include_usage"]) {
            Some(Unsupported::StreamOptions)
        } else if !self.mentions(&["response_format", "json_schema", "grammar"]) {
            None
        } else if self.mentions(&[
            "invalid schema",
            "failed to parse grammar",
            "unsupported schema",
        ]) {
            Some(Unsupported::ThisSchema)
        } else {
            Some(Unsupported::ResponseFormat)
        }
    }
}

fn harmless(code: &str) -> String {
    code.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        .take(CODE_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: &Value) -> Failure {
        let reader = Reader { model: "m".into(), key: None };
        reader.refusal(Some(status), &HeaderMap::new(), &body.to_string())
    }

    #[track_caller]
    fn check(status: u16, body: Value, expected: &str) {
        let error = format!("{:?}", refusal(status, &body).error);
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn statuses_and_codes_become_errors_to_act_on() {
        let error = |code: &str, message: &str| json!({ "error": { "message": message, "type": "invalid_request_error", "code": code } });
        check(401, error("invalid_api_key", "Incorrect API key"), "Authentication");
        check(403, json!({}), "Authentication");
        check(402, json!({}), "QuotaExceeded");
        check(429, error("insufficient_quota", "You exceeded"), "QuotaExceeded");
        check(429, error("rate_limit_exceeded", "slow down"), "RateLimited");
        check(404, error("model_not_found", "no such model"), "NotFound");
        check(409, json!({}), "Unavailable");
        check(503, json!({ "error": "loading model" }), "Unavailable");
        check(501, json!({}), "Refused");
        check(307, json!({}), "Refused");
        check(400, error("context_length_exceeded", ""), "ContextTooLong");
        check(
            400,
            json!({ "object": "error", "code": 400,
                    "message": "This model's maximum context length is 4096 tokens." }),
            "ContextTooLong",
        );
        check(
            500,
            json!({ "error": { "code": 500, "type": "exceed_context_size_error",
                    "message": "the request exceeds the available context size" } }),
            "ContextTooLong",
        );
        check(413, json!({}), "ContextTooLong");
        check(400, error("content_policy_violation", ""), "ContentFiltered");
        check(
            400,
            error("bad value!\r\n<x>", ""),
            "Refused { status: Some(400), code: Some(\"badvaluex\") }",
        );
    }

    #[test]
    fn unsupported_fields_are_recognised_by_place_and_not_by_echo() {
        let unsupported = |body: Value| refusal(422, &body).unsupported;
        assert_eq!(
            unsupported(json!({ "detail": [{ "type": "extra_forbidden",
                "loc": ["body", "response_format"], "msg": "not permitted", "input": {} }] })),
            Some(Unsupported::ResponseFormat)
        );
        assert_eq!(
            unsupported(json!({ "detail": [{ "type": "x", "loc": ["body", "temperature"],
                "msg": "too high", "input": { "response_format": {} } }] })),
            None
        );
        assert_eq!(
            unsupported(
                json!({ "error": { "message": "Invalid schema for response_format 'x'" } })
            ),
            Some(Unsupported::ThisSchema)
        );
        assert_eq!(
            unsupported(json!({ "error": { "message": "Unknown field: stream_options" } })),
            Some(Unsupported::StreamOptions)
        );
        assert_eq!(refusal(500, &json!({ "error": "response_format" })).unsupported, None);
    }

    #[test]
    fn errors_inside_a_stream_have_the_status_they_tell() {
        let status = |error: Value| status_in(&error);
        assert_eq!(status(json!({ "code": 503 })), Some(503));
        assert_eq!(status(json!({ "code": 7 })), None);
        assert_eq!(status(json!({ "type": "server_error", "code": null })), Some(500));
        assert_eq!(status(json!({ "code": "rate_limit_exceeded" })), Some(429));
        assert_eq!(status(json!("text")), None);
    }

    #[test]
    fn the_words_of_a_server_are_logged_at_trace_only_and_without_the_key() {
        let at = |level: tracing::Level| {
            let log = Arc::new(Mutex::new(Vec::new()));
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(level)
                .with_writer({
                    let log = Arc::clone(&log);
                    move || Writer(Arc::clone(&log))
                })
                .finish();
            let reader = Reader { model: "m".into(), key: Some("sk-1".into()) };
            let body = r#"{"error":{"message":"wrong key sk-1"}}"#;
            tracing::subscriber::with_default(subscriber, || {
                reader.refusal(Some(401), &HeaderMap::new(), body);
            });
            String::from_utf8(std::mem::take(&mut *log.lock().unwrap())).unwrap()
        };
        assert_eq!(at(tracing::Level::DEBUG), "");
        let log = at(tracing::Level::TRACE);
        assert!(log.contains("wrong key [key]") && !log.contains("sk-1"), "{log}");
    }

    struct Writer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
