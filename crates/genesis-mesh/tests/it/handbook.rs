//! The handbook repeats the table of settings; this keeps it true.

use std::path::Path;

use genesis_mesh::settings;

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

#[test]
fn the_markdown_table_has_every_setting_with_its_names() {
    let table = settings::markdown_table();
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(rows.len(), settings::table_rows().len());
    let cells = table.lines().map(|line| line.replace("\\|", "").matches('|').count());
    assert!(cells.into_iter().all(|count| count == 6), "{table}");
    for (line, row) in rows.iter().zip(settings::table_rows()) {
        for name in row.variables.iter().chain(&row.flag) {
            assert!(line.contains(&format!("`{name}`")), "{line}");
        }
    }
}

/// With `UPDATE_EXPECT=1` the page is rewritten in place of failing.
#[test]
fn the_configuration_page_has_the_table_of_this_build() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/configuration.md");
    if !page.exists() {
        return; // a packaged crate comes without the handbook
    }
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has no <!-- settings --> marker");
    let (table, after) = rest.split_once(END).expect("the page has no <!-- /settings --> marker");
    let current = format!("\n{}\n", settings::markdown_table());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{current}{END}{after}")).unwrap();
    } else {
        assert!(
            table == current,
            "run with UPDATE_EXPECT=1 to bring {} up to date",
            page.display()
        );
    }
}
