//! The faults that show what the engine's proof finds: each has to fit the code as it is, or the
//! proof shows nothing when somebody asks it to.

use std::fs;

use crate::repository::root;

/// The old text of every hunk of a patch, with the file it is for.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut file = String::new();
    let mut hunks: Vec<(String, String)> = Vec::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            path.clone_into(&mut file);
        } else if line.starts_with("@@") {
            hunks.push((file.clone(), String::new()));
        } else if let (Some((_, old)), Some(text)) =
            (hunks.last_mut(), line.strip_prefix([' ', '-']))
            && !line.starts_with("---")
        {
            old.push_str(text);
            old.push('\n');
        }
    }
    hunks
}

#[test]
fn planted_faults_fit_the_code() {
    let engine = root().join("crates/mesh-graph");
    let folder = engine.join("tests/proof/planted");
    let mut patches = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        patches += 1;
        let hunks = hunks(&fs::read_to_string(&path).unwrap());
        assert!(!hunks.is_empty(), "{} changes nothing", path.display());
        for (file, old) in hunks {
            let code = fs::read_to_string(engine.join(&file)).unwrap();
            assert!(code.contains(&old), "{} does not fit {file}:\n{old}", path.display());
        }
    }
    assert!(patches > 0, "no planted faults");
}
