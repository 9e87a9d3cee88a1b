//! Prints the main text of HTML, Markdown or text files as Markdown:
//! `cargo run --example main_text -- page.html`.

use std::{
    fs,
    io::{Write as _, stdout},
    time::Instant,
};

use mesh_tools::main_text::{Markup, extract_now};

fn main() -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for path in std::env::args().skip(1) {
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        let markup = match path.rsplit('.').next() {
            Some("html" | "htm") => Markup::Html,
            Some("md") => Markup::Markdown,
            Some("adoc") => Markup::AsciiDoc,
            _ => Markup::Plain,
        };
        let started = Instant::now();
        match extract_now(markup, &text, None) {
            Ok(main) => {
                let elapsed = started.elapsed();
                writeln!(out, "<!-- {path}: {:?}, {:?}", main.title, main.author)?;
                writeln!(out, "     {:?}, {elapsed:.2?} -->", main.published)?;
                writeln!(out, "{}", main.markdown)?;
            }
            Err(reason) => writeln!(out, "<!-- {path}: {reason} -->")?,
        }
    }
    Ok(())
}
