//! Who the server says it is.

/// Name, description and version, as `/info` and `/openapi.json` show them. Handed in, so that
/// they are written once, by whoever owns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The program's name, such as `genesis-mesh`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The program's version.
    pub version: String,
}
