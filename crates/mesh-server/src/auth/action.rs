//! What may be asked for, by resource and verb.

/// A kind of thing that the server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Graphs with a configuration.
    Assistants,
    /// Threads with their states and runs.
    Threads,
    /// Items kept across threads.
    Store,
    /// Runs that begin by the clock.
    Crons,
    /// The server itself: its metrics and its upkeep.
    Server,
}

/// Something that is asked of the server, in the words of scopes: `threads:create_run`.
///
/// Reading, listing, joining and streaming the runs of a thread is [`Action::ReadThread`],
/// cancelling them and writing the thread's state [`Action::UpdateThread`], deleting them
/// [`Action::DeleteThread`]. A copy reads its source and creates a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `assistants:create`
    CreateAssistant,
    /// `assistants:read`, with graph, schemas and versions.
    ReadAssistant,
    /// `assistants:update`, with the choice of a version.
    UpdateAssistant,
    /// `assistants:delete`
    DeleteAssistant,
    /// `assistants:search`, with counting.
    SearchAssistants,
    /// `threads:create`
    CreateThread,
    /// `threads:read`
    ReadThread,
    /// `threads:update`
    UpdateThread,
    /// `threads:delete`
    DeleteThread,
    /// `threads:search`, with counting.
    SearchThreads,
    /// `threads:create_run`, with a thread and without.
    CreateRun,
    /// `store:put`
    PutItem,
    /// `store:get`
    GetItem,
    /// `store:search`
    SearchItems,
    /// `store:delete`
    DeleteItem,
    /// `store:list_namespaces`
    ListNamespaces,
    /// `crons:create`
    CreateCron,
    /// `crons:read`
    ReadCron,
    /// `crons:update`
    UpdateCron,
    /// `crons:delete`
    DeleteCron,
    /// `crons:search`, with counting.
    SearchCrons,
    /// `server:read`: metrics.
    ReadServer,
    /// `server:update`: upkeep.
    UpdateServer,
}

impl Action {
    /// Every action, by resource.
    pub const ALL: [Self; 23] = [
        Self::CreateAssistant,
        Self::ReadAssistant,
        Self::UpdateAssistant,
        Self::DeleteAssistant,
        Self::SearchAssistants,
        Self::CreateThread,
        Self::ReadThread,
        Self::UpdateThread,
        Self::DeleteThread,
        Self::SearchThreads,
        Self::CreateRun,
        Self::PutItem,
        Self::GetItem,
        Self::SearchItems,
        Self::DeleteItem,
        Self::ListNamespaces,
        Self::CreateCron,
        Self::ReadCron,
        Self::UpdateCron,
        Self::DeleteCron,
        Self::SearchCrons,
        Self::ReadServer,
        Self::UpdateServer,
    ];

    /// The kind of thing it is about.
    pub fn resource(self) -> Resource {
        match self {
            Self::CreateAssistant
            | Self::ReadAssistant
            | Self::UpdateAssistant
            | Self::DeleteAssistant
            | Self::SearchAssistants => Resource::Assistants,
            Self::CreateThread
            | Self::ReadThread
            | Self::UpdateThread
            | Self::DeleteThread
            | Self::SearchThreads
            | Self::CreateRun => Resource::Threads,
            Self::PutItem
            | Self::GetItem
            | Self::SearchItems
            | Self::DeleteItem
            | Self::ListNamespaces => Resource::Store,
            Self::CreateCron
            | Self::ReadCron
            | Self::UpdateCron
            | Self::DeleteCron
            | Self::SearchCrons => Resource::Crons,
            Self::ReadServer | Self::UpdateServer => Resource::Server,
        }
    }

    /// The part after the colon.
    pub fn verb(self) -> &'static str {
        match self {
            Self::CreateAssistant | Self::CreateThread | Self::CreateCron => "create",
            Self::ReadAssistant | Self::ReadThread | Self::ReadCron | Self::ReadServer => "read",
            Self::UpdateAssistant | Self::UpdateThread | Self::UpdateCron | Self::UpdateServer => {
                "update"
            }
            Self::DeleteAssistant | Self::DeleteThread | Self::DeleteCron | Self::DeleteItem => {
                "delete"
            }
            Self::SearchAssistants
            | Self::SearchThreads
            | Self::SearchItems
            | Self::SearchCrons => "search",
            Self::CreateRun => "create_run",
            Self::PutItem => "put",
            Self::GetItem => "get",
            Self::ListNamespaces => "list_namespaces",
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        matches!(self.verb(), "read" | "search" | "get" | "list_namespaces")
    }
}

impl Resource {
    /// The part of a scope before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assistants => "assistants",
            Self::Threads => "threads",
            Self::Store => "store",
            Self::Crons => "crons",
            Self::Server => "server",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.resource().name(), self.verb())
    }
}
