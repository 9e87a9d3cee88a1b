use super::*;

fn text(file: &File) -> &str {
    std::str::from_utf8(file.bytes).unwrap()
}

#[test]
fn every_address_leads_to_the_page_and_every_file_to_itself() {
    let page = file("index.html").unwrap();
    assert_eq!(page.media_type(), "text/html; charset=utf-8");
    assert!(!page.is_immutable());
    for address in ["", "threads", "threads/018f-3c1e", "graphs/blogger"] {
        assert_eq!(at(address), Some(page), "{address}");
    }
    assert_eq!(at("assets/gone.js"), None);
}

#[test]
fn the_page_names_files_that_are_there_and_holds_no_code() {
    let page = text(file("index.html").unwrap());
    let mut named = 0;
    for part in page.split('"').filter(|part| part.starts_with("/studio/")) {
        let file = file(&part["/studio/".len()..]).unwrap_or_else(|| panic!("{part}"));
        assert!(file.is_immutable(), "{part}");
        named += 1;
    }
    assert!(named >= 2, "a script and a style sheet");
    assert!(!page.contains("<style") && !page.contains("style="));
    assert!(page.matches("<script").count() == page.matches("src=").count());
}

#[test]
fn no_style_sheet_loads_anything() {
    for file in FILES.iter().filter(|file| file.path.rsplit('.').next() == Some("css")) {
        assert!(!text(file).contains("@import") && !text(file).contains("url("), "{}", file.path);
    }
}
