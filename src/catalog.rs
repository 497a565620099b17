//! Which models there are, where they are served, and under which label they are counted.
//!
//! Built once from the settings and shared by all workers. Knows no HTTP, no actors and no JSON.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, RwLock};

use crate::config::{Model, Price, Settings};
use crate::translate::dialect::Dialect;

/// The label of wildcard models beyond the bound.
const OTHER: &str = "other";
/// The longest label of a model that only a wildcard names, in bytes.
const MAX_LABEL: usize = 100;

/// A model's place in [`Catalog::label`]: what metrics carry instead of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelLabel(pub u32);

/// A provider's place in [`Catalog::providers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderId(pub u16);

/// A usable way to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub provider: ProviderId,
    /// The provider's id of the model.
    pub model: String,
    /// How this provider wants this model to be asked.
    pub dialect: Arc<Dialect>,
    /// Its part in what shares its place; none: the place is its own.
    pub weight: Option<NonZeroU32>,
    pub upstream: Upstream,
}

/// What a provider's model is known by where its health is kept: bounded, whatever clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// A place in [`Catalog::upstreams`].
    Named(usize),
    /// Only a client named it: kept by its label.
    Guessed(ModelLabel),
}

/// A provider's model that the configuration names.
#[derive(Debug)]
pub struct NamedUpstream {
    pub provider: ProviderId,
    /// The provider's id.
    pub model: String,
    /// The models that it serves; `other` for those of a wildcard.
    pub labels: Vec<ModelLabel>,
}

/// What was found for the id that a client asked for.
#[derive(Debug, Clone)]
pub struct Resolved<'a> {
    pub label: ModelLabel,
    /// Those whose provider has its key, in order; none when all are off.
    pub routes: Vec<Route>,
    /// The most output tokens.
    pub max_tokens: Option<u64>,
    pub price: Option<Price>,
    /// Whether a wildcard takes the id, so that nobody has said that the model exists.
    pub is_guess: bool,
    /// The entry of the configuration.
    pub model: &'a Model,
}

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    models: Vec<Model>,
    /// By the same index as `models`: the usable routes, where what is guessed still has to be named.
    routes: Vec<Vec<Route>>,
    upstreams: Vec<NamedUpstream>,
    by_id: HashMap<String, usize>,
    /// Indices of entries whose id ends in `*`, the longest prefix first.
    wildcards: Vec<usize>,
    providers: Vec<String>,
    usable: HashSet<ProviderId>,
    labels: RwLock<Labels>,
    max_dynamic: usize,
}

#[derive(Debug, Default)]
struct Labels {
    names: Vec<String>,
    by_name: HashMap<String, ModelLabel>,
    /// How many of the names come from the configuration, `other` included.
    fixed: usize,
}

impl Labels {
    fn add(&mut self, name: &str) -> ModelLabel {
        let label = ModelLabel(self.names.len() as u32);
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), label);
        label
    }
}

impl Catalog {
    /// `has_key` tells whether a provider can be called.
    pub fn new(settings: &Settings, has_key: impl Fn(&str) -> bool) -> Catalog {
        let models = settings.models.clone();
        let mut by_id = HashMap::new();
        let mut wildcards = Vec::new();
        let mut labels = Labels::default();
        for (at, model) in models.iter().enumerate() {
            if model.id.ends_with('*') {
                wildcards.push(at);
            } else {
                by_id.insert(model.id.clone(), at);
                labels.add(&model.id);
            }
        }
        if !wildcards.is_empty() && !labels.by_name.contains_key(OTHER) {
            labels.add(OTHER);
        }
        labels.fixed = labels.names.len();
        wildcards.sort_by_key(|at| std::cmp::Reverse(models[*at].id.len()));
        let providers: Vec<String> = settings.providers.iter().map(|provider| provider.name.clone()).collect();
        let usable: HashSet<ProviderId> =
            (0u16..).map(ProviderId).zip(&providers).filter(|(_, name)| has_key(name)).map(|(id, _)| id).collect();
        let mut upstreams = Vec::new();
        let mut routes_of = |model: &Model| {
            let label = labels.by_name.get(if model.id.ends_with('*') { OTHER } else { &model.id });
            usable_routes(settings, model, &usable, label.copied(), &mut upstreams)
        };
        let routes = models.iter().map(&mut routes_of).collect();
        let max_dynamic = settings.metrics.max_dynamic_models;
        Catalog {
            models,
            routes,
            upstreams,
            by_id,
            wildcards,
            providers,
            usable,
            labels: RwLock::new(labels),
            max_dynamic,
        }
    }

    /// Finds the model that a client asked for; `None` when no entry takes this id.
    pub fn resolve(&self, asked: &str) -> Option<Resolved<'_>> {
        let at = self.place(asked)?;
        let label = match self.models[at].id.ends_with('*') {
            true => self.dynamic_label(asked),
            false => self.known_label(asked)?,
        };
        let routes = self.routes[at].iter().map(|route| match route.upstream {
            Upstream::Named(_) => route.clone(),
            Upstream::Guessed(_) => {
                Route { model: asked.to_owned(), upstream: Upstream::Guessed(label), ..route.clone() }
            }
        });
        let model = &self.models[at];
        Some(Resolved {
            label,
            routes: routes.collect(),
            max_tokens: model.max_tokens,
            price: model.price,
            is_guess: model.id.ends_with('*'),
            model,
        })
    }

    /// Whether an entry takes this id.
    pub fn has(&self, asked: &str) -> bool {
        self.place(asked).is_some()
    }

    /// The entry that takes this id: its own, or the most specific wildcard.
    fn place(&self, asked: &str) -> Option<usize> {
        let by_wildcard = || self.wildcards.iter().find(|at| takes(&self.models[**at].id, asked));
        self.by_id.get(asked).or_else(by_wildcard).copied()
    }

    fn known_label(&self, id: &str) -> Option<ModelLabel> {
        self.labels.read().unwrap_or_else(|poisoned| poisoned.into_inner()).by_name.get(id).copied()
    }

    /// The label of a model that only a wildcard names: its id without the provider's prefix, as long as there is room.
    fn dynamic_label(&self, asked: &str) -> ModelLabel {
        let name = label_text(asked);
        match self.known_label(&name) {
            // An invented prefix must not make its requests those of a model of the catalog.
            Some(label) if self.by_id.contains_key(&name) => return self.known_label(OTHER).unwrap_or(label),
            Some(label) => return label,
            None => {}
        }
        let mut labels = self.labels.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let full = labels.names.len() - labels.fixed >= self.max_dynamic;
        match labels.by_name.get(if full { OTHER } else { &name }) {
            Some(label) => *label,
            None => labels.add(&name),
        }
    }

    /// The providers' models that the configuration names and that can be called.
    pub fn upstreams(&self) -> &[NamedUpstream] {
        &self.upstreams
    }

    /// The names of all providers, in the order of their ids.
    pub fn providers(&self) -> &[String] {
        &self.providers
    }

    /// The provider's name.
    pub fn provider_name(&self, id: ProviderId) -> &str {
        self.providers.get(usize::from(id.0)).map_or("", String::as_str)
    }

    /// Whether any provider can be called.
    pub fn any_usable(&self) -> bool {
        !self.usable.is_empty()
    }

    /// Whether this provider can be called.
    pub fn is_usable(&self, id: ProviderId) -> bool {
        self.usable.contains(&id)
    }

    /// The text of a label.
    pub fn label(&self, label: ModelLabel) -> String {
        let labels = self.labels.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        labels.names.get(label.0 as usize).cloned().unwrap_or_else(|| OTHER.to_owned())
    }

    /// The labels that exist from the start.
    pub fn fixed_labels(&self) -> Vec<(ModelLabel, String)> {
        let labels = self.labels.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        (0u32..).map(ModelLabel).zip(labels.names.iter().take(labels.fixed).cloned()).collect()
    }

    /// The entries that clients can list: those with an id of their own.
    pub fn listed(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().filter(|model| !model.id.ends_with('*'))
    }

    /// The entry with exactly this id.
    pub fn entry(&self, id: &str) -> Option<&Model> {
        self.by_id.get(id).map(|at| &self.models[*at])
    }

    /// Ids of all entries of which no route can be used.
    pub fn without_route(&self) -> Vec<&str> {
        let dead = self.models.iter().zip(&self.routes).filter(|(_, routes)| routes.is_empty());
        dead.map(|(model, _)| model.id.as_str()).collect()
    }
}

/// Whether a pattern takes an id: the same text, or one that goes on where the pattern has its `*`.
pub fn takes(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.len() > prefix.len() && id.starts_with(prefix),
        None => pattern == id,
    }
}

/// The routes of a model that can be called; `label` is what those models count under that have none of their own.
fn usable_routes(
    settings: &Settings,
    model: &Model,
    usable: &HashSet<ProviderId>,
    label: Option<ModelLabel>,
    upstreams: &mut Vec<NamedUpstream>,
) -> Vec<Route> {
    let mut upstream_of = |provider: ProviderId, upstream: &str| {
        let known = upstreams.iter().position(|known| known.provider == provider && known.model == upstream);
        let at = known.unwrap_or_else(|| {
            upstreams.push(NamedUpstream { provider, model: upstream.to_owned(), labels: Vec::new() });
            upstreams.len() - 1
        });
        upstreams[at].labels.extend(label);
        Upstream::Named(at)
    };
    let routes = model.routes.iter().filter_map(|route| {
        let at = settings.providers.iter().position(|provider| provider.name == route.provider)?;
        let provider = ProviderId(u16::try_from(at).ok()?);
        // Wrong overrides have been found when the settings were read.
        let dialect = Arc::new(model.resolved_dialect(&settings.providers[at]).ok()?);
        if !usable.contains(&provider) {
            return None;
        }
        let (name, upstream) = match (route.model.as_str(), model.id.ends_with('*')) {
            ("*", true) => ("*", Upstream::Guessed(label?)),
            ("*", false) => (model.id.as_str(), upstream_of(provider, &model.id)),
            (name, _) => (name, upstream_of(provider, name)),
        };
        Some(Route { provider, model: name.to_owned(), dialect, weight: route.weight, upstream })
    });
    routes.collect()
}

/// What an id looks like as a label: no provider's prefix (the dashboards' patterns are anchored), bounded, and
/// nothing in it that a client could play tricks with.
fn label_text(asked: &str) -> String {
    let bare = asked.rsplit('/').find(|part| !part.is_empty()).unwrap_or(OTHER);
    let kept = |c: char| if c.is_ascii_alphanumeric() || ".-_:@+".contains(c) { c } else { '_' };
    bare.chars().take(MAX_LABEL).map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(models: &str, max_dynamic: usize) -> Catalog {
        let text = format!(
            "[metrics]\nmax_dynamic_models = {max_dynamic}\n[[providers]]\nname = \"a\"\ndialect = \"generic\"\nbase_url = \"http://a/v1\"\n[[providers]]\nname = \"b\"\ndialect = \"generic\"\nbase_url = \"http://b/v1\"\n{models}"
        );
        let file = std::env::temp_dir().join(format!(
            "gatewayz-catalog-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&file, text).unwrap();
        let loaded = crate::config::load::load(Some(&file), &Default::default());
        std::fs::remove_file(&file).unwrap();
        Catalog::new(&loaded.unwrap().settings, |name| name == "a")
    }

    const MODELS: &str = r#"
        [[models]]
        id = "exact"
        routes = [ { provider = "b", model = "up" }, { provider = "a", model = "up-a" } ]
        [[models]]
        id = "*"
        routes = [ { provider = "a", model = "*" } ]
        [[models]]
        id = "gpt-*"
        routes = [ { provider = "a", model = "any-gpt" } ]
        [[models]]
        id = "dead"
        routes = [ { provider = "b", model = "x" } ]
    "#;

    #[test]
    fn exact_ids_win_then_the_longest_wildcard() {
        let catalog = catalog(MODELS, 10);
        let upstream =
            |id: &str| catalog.resolve(id).unwrap().routes.iter().map(|route| route.model.clone()).collect::<Vec<_>>();
        assert_eq!(upstream("exact"), ["up-a"]);
        assert_eq!(upstream("gpt-9"), ["any-gpt"]);
        assert_eq!(upstream("vendor/thing"), ["vendor/thing"]);
        assert!(upstream("dead").is_empty());
        assert_eq!(catalog.without_route(), ["dead"]);
    }

    #[test]
    fn labels_of_wildcard_models_are_bounded_and_bare() {
        let catalog = catalog(MODELS, 2);
        let label = |id: &str| catalog.label(catalog.resolve(id).unwrap().label);
        assert_eq!(label("exact"), "exact");
        assert_eq!(label("vendor/one"), "one");
        assert_eq!(label("other-vendor/exact"), "other");
        assert_eq!(label("two\n\"evil\""), "two__evil_");
        assert_eq!(label("three"), "other");
        assert_eq!(label("vendor/one"), "one");
        assert_eq!(catalog.fixed_labels().len(), 3);
    }

    #[test]
    fn a_models_own_dialect_wins_over_its_providers() {
        let catalog = catalog(
            r#"
            [providers.dialect_overrides]
            top_k = false
            [[models]]
            id = "plain"
            routes = [ { provider = "b", model = "x" }, { provider = "a", model = "x" } ]
            [[models]]
            id = "newer"
            routes = [ { provider = "a", model = "x" } ]
            dialect_overrides = { max_tokens_field = "max_completion_tokens" }
            "#,
            10,
        );
        let dialect = |id: &str| catalog.resolve(id).unwrap().routes[0].dialect.clone();
        let generic = Dialect::named("generic").unwrap();
        assert_eq!(*dialect("plain"), generic);
        assert_eq!(dialect("newer").max_tokens_field.name(), "max_completion_tokens");
        assert!(dialect("newer").top_k, "the other provider's override is its own");
    }
}
