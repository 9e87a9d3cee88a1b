//! The table in ARCHITECTURE.md, held against what cargo resolves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::process::Command;

use cargo_metadata::{
    CargoOpt, DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId,
};

use crate::repository::{must_read, root};

/// Heading of the table in ARCHITECTURE.md.
const HEADING: &str = "## Who may use whom";

/// Never in any build, on any path: one crypto provider, one SQLite.
const NOWHERE: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "sqlx"];

/// One row of the table.
struct Rule {
    /// Ours that it may name in `[dependencies]`; `None` for all.
    may_use: Option<BTreeSet<String>>,
    /// Others' crates that it must not reach, directly or through another crate.
    never: BTreeSet<String>,
}

#[test]
fn every_crate_has_one_row_in_the_table() {
    let ours: BTreeSet<String> = Graph::load().members().map(|(_, name)| name).collect();
    let rows: BTreeSet<String> = rules().into_keys().collect();
    assert_eq!(rows, ours, "rows of ARCHITECTURE.md (left) and members of the workspace (right)");
}

#[test]
fn a_crate_uses_only_those_of_ours_that_the_table_grants() {
    let graph = Graph::load();
    let rules = rules();
    let ours: BTreeSet<String> = graph.members().map(|(_, name)| name).collect();
    let mut wrong = Vec::new();
    for (id, name) in graph.members() {
        let Some(may_use) = rules.get(&name).and_then(|rule| rule.may_use.as_ref()) else {
            continue;
        };
        for used in graph.uses(id).map(|used| graph.name(used)) {
            if ours.contains(used) && !may_use.contains(used) {
                wrong.push(format!("{name} -> {used}"));
            }
        }
    }
    assert_none(&wrong, "these arrows are not in the table");
}

#[test]
fn what_a_crate_must_never_reach_is_not_reached_through_another() {
    let graph = Graph::load();
    let rules = rules();
    let mut wrong = Vec::new();
    for (id, name) in graph.members() {
        let Some(rule) = rules.get(&name) else { continue };
        for path in graph.paths_from(id) {
            if path.last().is_some_and(|end| rule.never.contains(*end)) {
                wrong.push(path.join(" -> "));
            }
        }
    }
    assert_none(&wrong, "these paths reach what the table forbids");
}

#[test]
fn one_crypto_provider_and_one_sqlite_are_in_the_resolved_graph() {
    let graph = Graph::load();
    let mut wrong = Vec::new();
    for (id, _) in graph.members() {
        for path in graph.paths_from(id) {
            if path.last().is_some_and(|end| NOWHERE.contains(end)) {
                wrong.push(path.join(" -> "));
            }
        }
    }
    assert_none(&wrong, "these paths reach a crate that no build may contain");
}

fn assert_none(wrong: &[String], what: &str) {
    assert!(
        wrong.is_empty(),
        "{what} (see \"Who may use whom\" in ARCHITECTURE.md):\n  {}",
        wrong.join("\n  ")
    );
}

/// The rows of the table, by crate.
fn rules() -> BTreeMap<String, Rule> {
    let text = must_read("ARCHITECTURE.md");
    let (_, section) = text.split_once(HEADING).expect("ARCHITECTURE.md has the heading");
    let rules: BTreeMap<_, _> = section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(row)
        .collect();
    assert!(!rules.is_empty(), "no row under \"{HEADING}\" in ARCHITECTURE.md");
    rules
}

fn row(line: &str) -> (String, Rule) {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, may_use, never] = cells[..] else {
        panic!("three cells expected in ARCHITECTURE.md: {line}");
    };
    let may_use = if may_use == "all" { None } else { Some(list(may_use, line)) };
    (name.trim_matches('`').to_owned(), Rule { may_use, never: list(never, line) })
}

/// Names in backquotes with commas between them, or `none`.
fn list(cell: &str, line: &str) -> BTreeSet<String> {
    if cell == "none" {
        return BTreeSet::new();
    }
    cell.split(',')
        .map(|name| {
            let name = name.trim();
            let bare = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            bare.unwrap_or_else(|| panic!("`none` or names in backquotes expected: {line}"))
                .to_owned()
        })
        .collect()
}

/// The resolved graph, with all features and without dev-dependencies.
struct Graph {
    metadata: Metadata,
    names: HashMap<PackageId, String>,
    edges: HashMap<PackageId, Vec<PackageId>>,
}

impl Graph {
    fn load() -> Self {
        let metadata = MetadataCommand::new()
            .current_dir(root())
            .features(CargoOpt::AllFeatures)
            // Only what this machine builds: the rest may not have been downloaded.
            .other_options(vec!["--filter-platform".to_owned(), host()])
            .exec()
            .expect("cargo metadata answers");
        let names =
            metadata.packages.iter().map(|one| (one.id.clone(), one.name.to_string())).collect();
        let packages: HashMap<_, _> = metadata.packages.iter().map(|one| (&one.id, one)).collect();
        let nodes = &metadata.resolve.as_ref().expect("dependencies are resolved").nodes;
        let edges = nodes
            .iter()
            .map(|node| {
                let used = node.deps.iter().filter(|dep| {
                    dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
                        && is_switched_on(packages[&node.id], node, &packages[&dep.pkg].name)
                });
                (node.id.clone(), used.map(|dep| dep.pkg.clone()).collect())
            })
            .collect();
        Self { metadata, names, edges }
    }

    fn members(&self) -> impl Iterator<Item = (&PackageId, String)> {
        self.metadata.workspace_members.iter().map(|id| (id, self.name(id).to_owned()))
    }

    fn name(&self, id: &PackageId) -> &str {
        &self.names[id]
    }

    fn uses(&self, id: &PackageId) -> impl Iterator<Item = &PackageId> {
        self.edges[id].iter()
    }

    /// A shortest path to each package that `start` reaches, as names.
    fn paths_from(&self, start: &PackageId) -> Vec<Vec<&str>> {
        let mut came_from: HashMap<&PackageId, &PackageId> = HashMap::new();
        let mut queue: VecDeque<&PackageId> = VecDeque::new();
        let (start, _) = self.edges.get_key_value(start).expect("members are in the graph");
        queue.push_back(start);
        while let Some(id) = queue.pop_front() {
            for used in self.uses(id) {
                if used != start && !came_from.contains_key(used) {
                    came_from.insert(used, id);
                    queue.push_back(used);
                }
            }
        }
        let mut paths: Vec<Vec<&str>> = came_from
            .keys()
            .map(|end| {
                let mut path = vec![self.name(end)];
                let mut at = *end;
                while let Some(before) = came_from.get(at) {
                    path.push(self.name(before));
                    at = before;
                }
                path.reverse();
                path
            })
            .collect();
        paths.sort();
        paths
    }
}

/// Whether `package`, with the features of `node`, really builds its dependency `used`.
///
/// `cargo metadata` also lists optional dependencies that only a weak feature (`ring?/alloc`)
/// mentions, which no build compiles (rust-lang/cargo#10801).
fn is_switched_on(package: &Package, node: &Node, used: &str) -> bool {
    let declared = package
        .dependencies
        .iter()
        .filter(|one| one.name == used && one.kind != DependencyKind::Development);
    declared.into_iter().any(|one| {
        let name = one.rename.as_deref().unwrap_or(&one.name);
        !one.optional
            || node.features.iter().any(|feature| {
                let turns_on = package.features.get(feature.as_str()).into_iter().flatten();
                **feature == *name
                    || turns_on.into_iter().any(|on| {
                        on.strip_prefix("dep:").is_some_and(|dep| dep == name)
                            || on.split_once('/').is_some_and(|(dep, _)| dep == name)
                    })
            })
    })
}

/// The triple of the machine that runs the test, as its compiler names it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc prints text");
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.expect("rustc -vV names its host").to_owned()
}
