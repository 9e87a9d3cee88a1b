//! The one binary: parses the command line, loads the settings, starts the log, dispatches.
//!
//! Results go to stdout, everything else (log, warnings, errors) to stderr. Exit codes are
//! decided in [`main`] alone: 0 done, 1 failed while running, 2 wrong usage or configuration.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use genesis_mesh::blog;
use genesis_mesh::cli::{BlogCommand, Cli, Command, ConfigCommand, ConfigShow, Doctor, Serve};
use genesis_mesh::doctor;
use genesis_mesh::keys;
use genesis_mesh::serve::{self, ServeFailure};
use genesis_mesh::settings::{LoadError, LogFormat, Settings, Surroundings};
use secrecy::ExposeSecret;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// A server allocates from every thread for as long as it runs: the allocator of the C library is
/// slower at that, and gives less memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longest wait for what cannot be dropped, once everything else has ended.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Why the program ends early; each has its exit code.
enum Failure {
    /// The command line is wrong, or only asks for help or the version.
    Usage(clap::Error),
    /// The configuration is wrong.
    Configuration(LoadError),
    /// The request is wrong: nothing was started.
    Request(Box<dyn Error + Send + Sync>),
    /// The mesh does not serve.
    Serve(ServeFailure),
    /// Something failed while running.
    Run(Box<dyn Error + Send + Sync>),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            // Help and version go to stdout with code 0; a closed pipe changes neither.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Err(Failure::Configuration(error)) => {
            for problem in &error.problems {
                complain("error", problem);
            }
            ExitCode::from(2)
        }
        Err(Failure::Request(error)) => {
            explain(&*error);
            ExitCode::from(2)
        }
        Err(Failure::Serve(error)) => {
            let code = if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE };
            explain(&error);
            if let Some(hint) = error.hint() {
                complain("hint", &hint);
            }
            code
        }
        Err(Failure::Run(error)) => {
            explain(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes.
fn explain(error: &(dyn Error + Send + Sync + 'static)) {
    complain("error", &error);
    let mut source = error.source();
    while let Some(cause) = source {
        complain("  caused by", &cause);
        source = cause.source();
    }
}

/// A runtime for everything asynchronous, with the one crypto provider set up.
fn runtime() -> Result<Runtime, Failure> {
    runtime_of("mesh")
}

/// The same, with this name on its threads.
fn runtime_of(threads: &str) -> Result<Runtime, Failure> {
    // Fails only if a provider is installed already, and then there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .thread_name(threads)
        .enable_all()
        .build()
        .map_err(|error| during("cannot start the runtime", error))
}

fn run() -> Result<(), Failure> {
    let cli = Cli::parse_from_args(std::env::args_os()).map_err(Failure::Usage)?;
    let surroundings = Surroundings::of_process(cli.flags())
        .map_err(|error| during("cannot read the working directory", error))?;
    let settings = Settings::load(&surroundings).map_err(Failure::Configuration)?;
    start_log(&settings);
    let serves = matches!(cli.command, None | Some(Command::Serve(_)));
    for warning in &settings.warnings {
        if serves || !warning.concerns_serving_only() {
            complain("warning", warning);
        }
    }
    match cli.command {
        Some(Command::Config(ConfigCommand::Show(options))) => show(&settings, &options),
        Some(Command::Doctor(options)) => examine(&settings, &options),
        Some(Command::Blog(BlogCommand::New(options))) => {
            runtime()?.block_on(blog::new(&settings, &options)).map_err(|error| {
                let usage = error.is_usage();
                let error = error.into();
                if usage { Failure::Request(error) } else { Failure::Run(error) }
            })
        }
        Some(Command::Keys(command)) => {
            let said = runtime()?.block_on(keys::run(&settings, &command)).map_err(|error| {
                let usage = error.is_usage();
                let error = error.into();
                if usage { Failure::Request(error) } else { Failure::Run(error) }
            })?;
            print_out(said.result.expose_secret())?;
            if let Some(remark) = &said.remark {
                complain("note", remark);
            }
            Ok(())
        }
        Some(Command::Serve(options)) => serve_with(&settings, &options),
        None => serve_with(&settings, &Serve::default()),
    }
}

fn serve_with(settings: &Settings, options: &Serve) -> Result<(), Failure> {
    // Nodes have threads of their own: whatever they do there, clients are answered.
    let (runtime, nodes) = (runtime()?, runtime_of("nodes")?);
    let serving = serve::run(settings, options, nodes.handle().clone());
    let served = runtime.block_on(serving).map_err(Failure::Serve);
    // What blocks a thread cannot be dropped, and is not waited for long.
    nodes.shutdown_timeout(LAST_WAIT);
    runtime.shutdown_timeout(LAST_WAIT);
    served
}

/// Prints the settings on stdout.
fn show(settings: &Settings, options: &ConfigShow) -> Result<(), Failure> {
    let text =
        if options.json { format!("{:#}\n", settings.to_json()) } else { settings.to_table() };
    print_out(&text)
}

/// Prints a result on stdout.
fn print_out(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `config show | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| during("cannot write to stdout", error)),
    }
}

/// Prints on stdout what is broken in the data directory.
fn examine(settings: &Settings, options: &Doctor) -> Result<(), Failure> {
    let accepted = options.accepted.as_deref();
    let examined = runtime()?.block_on(doctor::examine(settings, accepted));
    let violations = examined.map_err(|error| Failure::Run(error.into()))?;
    let mut lines: Vec<String> = violations.iter().map(|broken| format!("{broken}\n")).collect();
    if lines.is_empty() {
        lines.push("no rule is broken\n".to_owned());
    }
    print_out(&lines.concat())?;
    match violations.len() {
        0 => Ok(()),
        count => Err(Failure::Run(format!("what is kept is broken in {count} places").into())),
    }
}

/// A failure of the system, with what was being done.
fn during(what: &str, error: io::Error) -> Failure {
    Failure::Run(format!("{what}: {error}").into())
}

/// Starts the log on stderr. Colours only where a person is looking and has not declined them.
fn start_log(settings: &Settings) {
    let filter = EnvFilter::builder().parse_lossy(&settings.log.filter);
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours);
    match settings.log.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// One line on stderr, where a failure to write is nobody's to hear.
fn complain(kind: &str, what: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{kind}: {what}");
}
