//! The program without a subcommand: it serves until it is told to stop.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::process::Place;

/// Longest wait for anything that has to happen; far above what it takes.
const SOON: Duration = Duration::from_secs(20);

/// A mesh in a process of its own.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it said on stdout until it was ready.
    said: String,
}

impl Serving {
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = place
            .command(&[&["--port", "0"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some(page) = line.trim().strip_prefix("studio ") {
                let place = page.trim().trim_start_matches("http://");
                let place = place.trim_end_matches("/studio/");
                address = Some(place.parse().unwrap());
            }
            if line == "Ctrl-C stops it." {
                break;
            }
        }
        let address = address.unwrap_or_else(|| {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("it does not serve: {said}{stderr}")
        });
        Self { child, address, said }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Exit code and stderr, once it has ended by itself.
    fn ended(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < SOON, "it does not end");
            std::thread::yield_now();
        };
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status.code(), stderr)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_where_it_answers_and_stops_on_either_signal() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::new();
        let began = Instant::now();
        let serving = Serving::start(&place, &[]);
        assert!(serving.get("/ok").ends_with("{\"ok\":true}"));
        println!("first /ok after {} ms", began.elapsed().as_millis());
        assert!(serving.said.starts_with("Genesis Mesh Agent Framework "), "{}", serving.said);
        let info = serving.get("/info");
        assert!(info.contains(&format!("\"version\":\"{}\"", genesis_mesh::VERSION)), "{info}");
        serving.signal(signal);
        let (code, stderr) = serving.ended();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("stopping"), "{stderr}");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_anything() {
    let place = Place::new();
    let serving = Serving::start(&place, &[]);
    // Half a request holds the stop up until the head's time is over.
    let mut half = TcpStream::connect(serving.address).unwrap();
    half.write_all(b"GET /ok HTTP/1.1\r\n").unwrap();
    // Answered on another connection, so the server has read the half by now or soon.
    serving.get("/ok");
    serving.signal("-TERM");
    // The first signal was heard when no new connection is accepted.
    while TcpStream::connect(serving.address).is_ok() {
        std::thread::yield_now();
    }
    let began = Instant::now();
    serving.signal("-TERM");
    let (code, stderr) = serving.ended();
    assert_eq!(code, Some(143), "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do_about_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = Place::new().run(&["--port", &port.to_string()]);
    assert_eq!((run.code(), run.stdout()), (1, ""));
    let said = format!("error: cannot listen on 127.0.0.1:{port}: the port is in use\n");
    assert!(run.stderr().starts_with(&said), "{}", run.stderr());
    assert!(run.stderr().contains("\nhint: stop the program"), "{}", run.stderr());
}

#[test]
fn a_host_that_cannot_be_listened_on_is_wrong_usage() {
    // 192.0.2.0/24 is for documentation: no machine has it. `.invalid` resolves nowhere.
    for (host, said) in [
        ("192.0.2.1", "cannot listen on 192.0.2.1:0: it is not an address of this machine"),
        ("mesh.invalid", "cannot listen on mesh.invalid: there is no such host"),
    ] {
        let run = Place::new().run(&["--port", "0", "--host", host]);
        assert_eq!((run.code(), run.stdout()), (2, ""), "{}", run.stderr());
        assert!(run.stderr().contains(said), "{}", run.stderr());
    }
}

#[test]
fn the_data_folder_is_for_its_owner_and_for_one_mesh() {
    let place = Place::new();
    let folder = place.folder.path().join("a/b");
    let data_dir = folder.to_str().unwrap();
    let serving = Serving::start(&place, &["--data-dir", data_dir]);
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let second = place.run(&["--port", "0", "--data-dir", data_dir]);
    assert_eq!(second.code(), 1);
    let said = format!("the data directory {data_dir} is in use by another mesh");
    assert!(second.stderr().contains(&said), "{}", second.stderr());
    serving.signal("-TERM");
    assert_eq!(serving.ended().0, Some(0));
    // Free again.
    let third = Serving::start(&place, &["--data-dir", data_dir]);
    third.signal("-TERM");
    assert_eq!(third.ended().0, Some(0));
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let place = Place::new().file("file", "");
    for (data_dir, said) in
        [("file", "is not a folder"), ("file/below", "cannot make the data directory")]
    {
        let run = place.run(&["--port", "0", "--data-dir", data_dir]);
        assert_eq!((run.code(), run.stdout()), (1, ""));
        assert!(run.stderr().contains(said), "{}", run.stderr());
        assert!(run.stderr().contains(data_dir), "{}", run.stderr());
        assert!(run.stderr().contains("hint: choose another folder"), "{}", run.stderr());
    }
}
