//! The paths of the admin interface.

use hyper::Method;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Live,
    Ready,
    Metrics,
    Config,
    Reload,
    Events,
    Routes,
    Upstreams,
    Exchanges,
    Exchange(String),
    Budgets,
    Plugins,
    Plugin(String),
    PluginAction(String, PluginAction),
}

/// What can be done with a plugin, beside replacing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PluginAction {
    Activate,
    Rollback,
}

impl Path {
    /// `None` for a path that does not exist.
    pub(super) fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let path = match parts[..] {
            ["livez"] => Self::Live,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["config"] => Self::Config,
            ["reload"] => Self::Reload,
            ["events"] => Self::Events,
            ["routes"] => Self::Routes,
            ["upstreams"] => Self::Upstreams,
            ["exchanges"] => Self::Exchanges,
            ["exchanges", id] => Self::Exchange(id.to_owned()),
            ["budgets"] => Self::Budgets,
            ["plugins"] => Self::Plugins,
            ["plugins", name] => Self::Plugin(name.to_owned()),
            ["plugins", name, "activate"] => {
                Self::PluginAction(name.to_owned(), PluginAction::Activate)
            }
            ["plugins", name, "rollback"] => {
                Self::PluginAction(name.to_owned(), PluginAction::Rollback)
            }
            _ => return None,
        };
        Some(path)
    }

    /// What it takes.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Live
            | Self::Ready
            | Self::Metrics
            | Self::Config
            | Self::Events
            | Self::Routes
            | Self::Upstreams
            | Self::Exchanges
            | Self::Exchange(_)
            | Self::Budgets
            | Self::Plugins => &[Method::GET, Method::HEAD],
            Self::Plugin(_) => &[Method::GET, Method::HEAD, Method::PUT],
            Self::Reload | Self::PluginAction(..) => &[Method::POST],
        }
    }

    /// Whether it says or does more than a probe needs.
    pub(super) fn is_protected(&self) -> bool {
        !matches!(self, Self::Live | Self::Ready)
    }
}
