//! `blog new`: the blog agent in this process; progress on stderr, the post on stdout.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mesh_agents::{
    blogger::{Mode, Request, Words, state::Blog},
    source::{Collection, MemoryShelf},
};
use mesh_graph::{Event, Mode as Stream, Outcome, Status};
use mesh_tools::Folder;
use serde_json::{Value as Json, json};

use crate::{blogger, cli, settings::Settings};

/// Why no post was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlogFailure {
    /// The request is wrong.
    #[error("{0}")]
    Request(#[from] mesh_agents::blogger::InvalidRequest),
    /// A folder cannot be read.
    #[error("--files {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: mesh_agents::source::SourceError,
    },
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] blogger::BuildError),
    /// The run failed.
    #[error("{0}")]
    Run(Box<mesh_graph::Error>),
    /// The output cannot be written.
    #[error("cannot write {target}")]
    Output {
        /// The file, or stdout.
        target: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was stopped by Ctrl-C.
    #[error("stopped")]
    Stopped,
}

impl From<mesh_graph::Error> for BlogFailure {
    fn from(error: mesh_graph::Error) -> Self {
        Self::Run(Box::new(error))
    }
}

impl BlogFailure {
    /// Whether the command line was wrong rather than the work.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Folder { .. } | Self::Settings(_))
    }
}

/// Writes a post.
///
/// # Errors
/// [`BlogFailure`]. An output file is written whole or not at all.
pub async fn new(settings: &Settings, options: &cli::BlogNew) -> Result<(), BlogFailure> {
    let request = request(options);
    request.check()?;
    // An output that cannot be written is found before anybody pays for a post.
    let out = options.out.as_deref().map(Out::open).transpose()?;
    let mut collections: Vec<Arc<dyn Collection>> = Vec::new();
    for path in &options.files {
        let folder = Folder::open(path)
            .map_err(|source| BlogFailure::Folder { path: path.clone(), source })?;
        collections.push(Arc::new(folder));
    }
    let app = blogger::app(settings, Arc::new(MemoryShelf::default()), collections)?;
    let mut run = app
        .run(Blog::update().request(request))
        .stream([Stream::Updates, Stream::Custom])
        .subgraphs()
        .start()?;
    let mut progress = Progress::new();
    loop {
        tokio::select! {
            event = run.next() => match event {
                Some(event) => progress.show(&event),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => run.cancel(),
        }
    }
    let outcome = run.finish().await;
    progress.end();
    let outcome = outcome?;
    if outcome.status != Status::Done {
        return Err(BlogFailure::Stopped);
    }
    let text = if options.json {
        format!("{:#}\n", result(&outcome))
    } else {
        outcome.state().final_blog.clone()
    };
    match out {
        Some(out) => out.write(&text),
        None => match io::stdout().lock().write_all(text.as_bytes()) {
            // `blog new … | head` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written
                .map_err(|source| BlogFailure::Output { target: "stdout".to_owned(), source }),
        },
    }
}

fn request(options: &cli::BlogNew) -> Request {
    let mut request = Request::on(options.topic.clone());
    request.mode = match options.mode {
        cli::Mode::Auto => Mode::Auto,
        cli::Mode::Model => Mode::Model,
        cli::Mode::Extractive => Mode::Extractive,
    };
    request.sources.urls.clone_from(&options.url);
    if let Some(words) = options.words {
        request.words = Words { target: words as usize };
    }
    request
}

/// Everything that is known of a post.
fn result(outcome: &Outcome<Blog>) -> Json {
    let blog = outcome.state();
    json!({
        "final_blog": *blog.final_blog,
        "title": *blog.title,
        "language": *blog.language,
        "mode": *blog.mode,
        "sections": *blog.sections,
        "sources": *blog.sources,
        "evidence": *blog.evidence,
        "findings": *blog.findings,
        "problems": *blog.problems,
    })
}

/// A file that appears whole.
struct Out {
    path: PathBuf,
    partial: tempfile::NamedTempFile,
}

impl Out {
    /// Makes sure that the file can be written, without touching one that is there.
    fn open(path: &Path) -> Result<Self, BlogFailure> {
        let output = |source| BlogFailure::Output { target: path.display().to_string(), source };
        if path.is_dir() {
            return Err(output(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let partial = tempfile::Builder::new()
            .prefix(".genesis-mesh-")
            .tempfile_in(folder)
            .map_err(output)?;
        Ok(Self { path: path.to_owned(), partial })
    }

    fn write(mut self, text: &str) -> Result<(), BlogFailure> {
        let target = self.path.display().to_string();
        let written = self
            .partial
            .write_all(text.as_bytes())
            .and_then(|()| self.partial.as_file().sync_all())
            .and_then(|()| self.partial.persist(&self.path).map(drop).map_err(|error| error.error));
        written.map_err(|source| BlogFailure::Output { target, source })
    }
}

/// What happens, on stderr: a bar for people, lines for logs.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    sections: u64,
    done: u64,
}

impl Progress {
    /// Steps before and after the sections.
    const OTHER_STEPS: u64 = 6;

    fn new() -> Self {
        let lines = !io::stderr().is_terminal();
        let target =
            if lines { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(Self::OTHER_STEPS), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos:>3}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { bar, lines, sections: 0, done: 0 }
    }

    fn show(&mut self, event: &Event) {
        let data = event.data();
        let text = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
        let line = match (event.mode, data["type"].as_str().unwrap_or_default()) {
            (Stream::Updates, _) if event.ns.is_empty() => {
                self.bar.inc(1);
                return;
            }
            (_, "run.mode") => {
                let handbook = data["handbook"].as_str().map(|why| format!("; {why}"));
                format!("mode {}: {}{}", text("mode"), text("reason"), handbook.unwrap_or_default())
            }
            (_, "source.collection") => format!(
                "read {} of {} documents of {}",
                data["chosen"],
                data["considered"],
                text("name")
            ),
            (_, "source.found") => format!("{} hits for {}", data["hits"], text("query")),
            (_, "source.fetched") => format!("read {}", text("location")),
            (_, "source.skipped") => format!("not read {}: {}", text("location"), text("reason")),
            (_, "outline.ready") => {
                self.sections = data["sections"].as_array().map_or(0, Vec::len) as u64;
                self.bar.set_length(Self::OTHER_STEPS + self.sections);
                format!("planned {} sections", self.sections)
            }
            (_, "section.done") => {
                self.done += 1;
                // A closing section that would only repeat the others is not in the post.
                let did = if data["empty"] == true { "left out" } else { "wrote" };
                format!("{did} {} ({} of {})", text("name"), self.done, self.sections)
            }
            (_, "check.finding") => format!(
                "{} {}: {}",
                data["finding"]["check"].as_str().unwrap_or_default(),
                data["finding"]["level"].as_str().unwrap_or_default(),
                data["finding"]["message"].as_str().unwrap_or_default(),
            ),
            _ => return,
        };
        if self.lines {
            // A closed stderr is no reason to stop writing the post.
            let _ = writeln!(io::stderr(), "{line}");
        } else {
            self.bar.set_message(line);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
