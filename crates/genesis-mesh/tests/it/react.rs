//! The stock React hook in a browser without a window, against the real binary.

use std::{fs, net::TcpListener, process::Command, sync::PoisonError};

use crate::{
    clients::{BROWSER, clients, has, install_once, installed, runs, succeed},
    process::Place,
    serving::Serving,
};

/// Browsers that the page is opened in; the first that is there.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[test]
fn a_page_with_the_stock_hook_shows_what_goes_on() {
    if !has("node") || !has("npm") {
        return;
    }
    let Some(browser) = BROWSERS.iter().find(|browser| runs(browser)) else {
        println!("skipped: none of {} is installed", BROWSERS.join(", "));
        return;
    };
    let folder = installed("react");
    let react = clients().join("react");
    install_once(&folder, &fs::read_to_string(react.join("package-lock.json")).unwrap(), || {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(react.join(name), folder.join(name)).unwrap();
        }
        let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        succeed(Command::new("npm").args(npm).current_dir(&folder));
    });
    for name in ["index.html", "page.jsx", "page.test.mjs"] {
        fs::copy(react.join(name), folder.join(name)).unwrap();
    }
    let _alone = BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    // The server has to know the origin of the page before the page is there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let origin = format!("http://127.0.0.1:{port}");
    let place = Place::new().variable("GENESIS_MESH_ALLOWED_ORIGINS", &origin);
    let serving = Serving::start(&place, &["serve", "--fixtures", "--data-dir", "data"]);
    let path = succeed(Command::new("sh").args(["-c", &format!("command -v {browser}")]));
    let seen = succeed(
        Command::new("node")
            .args(["--test", "--test-reporter=spec", "page.test.mjs"])
            .current_dir(&folder)
            .env("GENESIS_MESH_URL", format!("http://{}", serving.address))
            .env("PAGE_PORT", port.to_string())
            .env("CHROMIUM", String::from_utf8(path.stdout).unwrap().trim()),
    );
    println!("{}", String::from_utf8_lossy(&seen.stdout));
}
