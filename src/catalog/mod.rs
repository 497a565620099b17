//! Which models there are, where they are served, and under which label they are counted.
//!
//! Built from the settings and shared by all workers; the models can be replaced while it is in use. Knows no HTTP, no
//! actors and no JSON.

mod labels;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::labels::{Labels, OTHER, label_text};
use crate::config::{Model, Price, Provider, Settings};
use crate::translate::dialect::Dialect;

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
    /// A place in [`Catalog::upstreams`], for as long as the process lives.
    Named(usize),
    /// Only a client named it: kept by its label.
    Guessed(ModelLabel),
}

/// A provider's model that the configuration names.
#[derive(Debug, Clone)]
pub struct NamedUpstream {
    pub provider: ProviderId,
    /// The provider's id.
    pub model: String,
    /// The models that it serves; `other` for those of a wildcard.
    pub labels: Vec<ModelLabel>,
}

/// What was found for the id that a client asked for.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub label: ModelLabel,
    /// Those whose provider has its key, in order; none when all are off.
    pub routes: Vec<Route>,
    /// The most output tokens.
    pub max_tokens: Option<u64>,
    pub price: Option<Price>,
    /// Whether a wildcard takes the id, so that nobody has said that the model exists.
    pub is_guess: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    entries: RwLock<Arc<Entries>>,
    upstreams: RwLock<Vec<NamedUpstream>>,
    labels: RwLock<Labels>,
    providers: Vec<Provider>,
    usable: HashSet<ProviderId>,
    max_dynamic: usize,
}

/// The models of the configuration.
#[derive(Debug, Default)]
struct Entries {
    models: Vec<Arc<Model>>,
    /// By the same index as `models`: the usable routes, where what is guessed still has to be named.
    routes: Vec<Vec<Route>>,
    by_id: HashMap<String, usize>,
    /// Indices of entries whose id ends in `*`, the longest prefix first.
    wildcards: Vec<usize>,
}

impl Entries {
    /// The entry that takes this id: its own, or the most specific wildcard.
    fn place(&self, asked: &str) -> Option<usize> {
        let by_wildcard = || self.wildcards.iter().find(|at| takes(&self.models[**at].id, asked));
        self.by_id.get(asked).or_else(by_wildcard).copied()
    }

    /// Whether any id that this pattern takes is taken by the entry at this place.
    fn is_reached(&self, pattern: &str, at: usize) -> bool {
        let Some(prefix) = pattern.strip_suffix('*') else { return self.place(pattern) == Some(at) };
        // Of the wildcards that take all that the pattern does, only the most specific one is asked.
        let whole = |at: &&usize| self.models[**at].id.strip_suffix('*').is_some_and(|own| prefix.starts_with(own));
        self.models[at].id.starts_with(prefix) || self.wildcards.iter().find(whole) == Some(&at)
    }
}

impl Catalog {
    /// `has_key` tells whether a provider can be called.
    pub fn new(settings: &Settings, has_key: impl Fn(&str) -> bool) -> Catalog {
        let named = (0u16..).map(ProviderId).zip(&settings.providers);
        let catalog = Catalog {
            entries: RwLock::default(),
            upstreams: RwLock::default(),
            labels: RwLock::default(),
            providers: settings.providers.clone(),
            usable: named.filter(|(_, provider)| has_key(&provider.name)).map(|(id, _)| id).collect(),
            max_dynamic: settings.metrics.max_dynamic_models,
        };
        catalog.replace_models(&settings.models);
        catalog
    }

    /// Takes these models in place of those before. Requests that have found theirs go on with it. Routes to providers
    /// that this catalog does not know are left out.
    pub fn replace_models(&self, models: &[Model]) {
        let mut labels = write(&self.labels);
        let mut upstreams = write(&self.upstreams);
        upstreams.iter_mut().for_each(|upstream| upstream.labels.clear());
        let mut entries = Entries::default();
        for (at, model) in models.iter().enumerate() {
            let label = match model.id.ends_with('*') {
                true => {
                    entries.wildcards.push(at);
                    labels.fix(OTHER)
                }
                false => {
                    entries.by_id.insert(model.id.clone(), at);
                    labels.fix(&model.id)
                }
            };
            entries.routes.push(self.usable_routes(model, label, &mut upstreams));
            entries.models.push(Arc::new(model.clone()));
        }
        entries.wildcards.sort_by_key(|at| std::cmp::Reverse(models[*at].id.len()));
        *write(&self.entries) = Arc::new(entries);
    }

    fn entries(&self) -> Arc<Entries> {
        read(&self.entries).clone()
    }

    /// Finds the model that a client asked for; `None` when no entry takes this id.
    pub fn resolve(&self, asked: &str) -> Option<Resolved> {
        let entries = self.entries();
        let at = entries.place(asked)?;
        let model = &entries.models[at];
        let label = match model.id.ends_with('*') {
            true => self.dynamic_label(&entries, asked),
            false => read(&self.labels).known(asked)?,
        };
        let routes = entries.routes[at].iter().map(|route| match route.upstream {
            Upstream::Named(_) => route.clone(),
            Upstream::Guessed(_) => {
                Route { model: asked.to_owned(), upstream: Upstream::Guessed(label), ..route.clone() }
            }
        });
        Some(Resolved {
            label,
            routes: routes.collect(),
            max_tokens: model.max_tokens,
            price: model.price,
            is_guess: model.id.ends_with('*'),
        })
    }

    /// Whether an entry takes this id.
    pub fn has(&self, asked: &str) -> bool {
        self.entries().place(asked).is_some()
    }

    /// The label of a model that only a wildcard names: its id without the provider's prefix, as long as there is room.
    fn dynamic_label(&self, entries: &Entries, asked: &str) -> ModelLabel {
        let name = label_text(asked);
        // An invented prefix must not make its requests those of a model of the catalog.
        let name = if entries.by_id.contains_key(&name) { OTHER } else { &name };
        let known = read(&self.labels).known(name);
        known.unwrap_or_else(|| write(&self.labels).guessed(name, self.max_dynamic))
    }

    /// The providers' models that the configuration names, or has named, and that can be called.
    pub fn upstreams(&self) -> Vec<NamedUpstream> {
        read(&self.upstreams).clone()
    }

    /// The names of all providers, in the order of their ids.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| provider.name.as_str())
    }

    /// The provider's name.
    pub fn provider_name(&self, id: ProviderId) -> &str {
        self.providers.get(usize::from(id.0)).map_or("", |provider| provider.name.as_str())
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
        read(&self.labels).name(label).to_owned()
    }

    /// The labels that exist before anybody asks for them.
    pub fn fixed_labels(&self) -> Vec<(ModelLabel, String)> {
        read(&self.labels).fixed()
    }

    /// The entries that clients can list: those with an id of their own.
    pub fn listed(&self) -> Vec<Arc<Model>> {
        self.entries().models.iter().filter(|model| !model.id.ends_with('*')).cloned().collect()
    }

    /// The entry with exactly this id.
    pub fn entry(&self, id: &str) -> Option<Arc<Model>> {
        let entries = self.entries();
        entries.by_id.get(id).map(|at| entries.models[*at].clone())
    }

    /// Ids of all entries of which no route can be used.
    pub fn without_route(&self) -> Vec<String> {
        let entries = self.entries();
        let dead = entries.models.iter().zip(&entries.routes).filter(|(_, routes)| routes.is_empty());
        dead.map(|(model, _)| model.id.clone()).collect()
    }

    /// Ids of all entries that these patterns reach and that may cost something nobody knows of: without a price, and
    /// with a usable route to a provider that does not tell the cost.
    pub fn of_unknown_cost(&self, patterns: &[String]) -> Vec<String> {
        let entries = self.entries();
        let unknown = (0..entries.models.len()).filter(|at| {
            entries.models[*at].price.is_none()
                && entries.routes[*at].iter().any(|route| !route.dialect.tells_cost)
                && patterns.iter().any(|pattern| entries.is_reached(pattern, *at))
        });
        unknown.map(|at| entries.models[at].id.clone()).collect()
    }

    /// The routes of a model that can be called; `label` is what those models count under that have none of their own.
    fn usable_routes(&self, model: &Model, label: ModelLabel, upstreams: &mut Vec<NamedUpstream>) -> Vec<Route> {
        let mut upstream_of = |provider: ProviderId, upstream: &str| {
            let known = upstreams.iter().position(|known| known.provider == provider && known.model == upstream);
            let at = known.unwrap_or_else(|| {
                upstreams.push(NamedUpstream { provider, model: upstream.to_owned(), labels: Vec::new() });
                upstreams.len() - 1
            });
            upstreams[at].labels.push(label);
            Upstream::Named(at)
        };
        let routes = model.routes.iter().filter_map(|route| {
            let at = self.providers().position(|name| name == route.provider)?;
            let provider = ProviderId(u16::try_from(at).ok()?);
            // Wrong overrides have been found when the settings were read.
            let dialect = Arc::new(model.resolved_dialect(&self.providers[at]).ok()?);
            if !self.usable.contains(&provider) {
                return None;
            }
            let (name, upstream) = match (route.model.as_str(), model.id.ends_with('*')) {
                ("*", true) => ("*", Upstream::Guessed(label)),
                ("*", false) => (model.id.as_str(), upstream_of(provider, &model.id)),
                (name, _) => (name, upstream_of(provider, name)),
            };
            Some(Route { provider, model: name.to_owned(), dialect, weight: route.weight, upstream })
        });
        routes.collect()
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a pattern takes an id: the same text, or one that goes on where the pattern has its `*`.
pub fn takes(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.len() > prefix.len() && id.starts_with(prefix),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(models: &str, max_dynamic: usize) -> Catalog {
        let text = format!(
            "[metrics]\nmax_dynamic_models = {max_dynamic}\n[[providers]]\nname = \"a\"\ndialect = \"generic\"\nbase_url = \"http://a/v1\"\n[[providers]]\nname = \"b\"\ndialect = \"generic\"\nbase_url = \"http://b/v1\"\n{models}"
        );
        let environment = [("GATEWAYZ_CONFIG_TOML".to_owned(), text)].into();
        let loaded = crate::config::load::load(None, &environment).unwrap();
        Catalog::new(&loaded.settings, |name| name == "a")
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
        assert_eq!(catalog.fixed_labels().len(), 2);
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

    #[test]
    fn the_cost_is_unknown_where_neither_price_nor_provider_tells_it() {
        let price = "price = { input = 1, output = 1 }";
        let catalog = catalog(
            &format!(
                r#"
                {MODELS}
                [[models]]
                id = "gpt-priced"
                routes = [ {{ provider = "a", model = "x" }} ]
                {price}
                [[models]]
                id = "gpt-5*"
                routes = [ {{ provider = "a", model = "x" }} ]
                [[models]]
                id = "told"
                routes = [ {{ provider = "a", model = "x" }} ]
                dialect_overrides = {{ tells_cost = true }}
                "#
            ),
            10,
        );
        let unknown = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            catalog.of_unknown_cost(&patterns)
        };
        assert_eq!(unknown(&["*"]), ["exact", "*", "gpt-*", "gpt-5*"]);
        assert_eq!(unknown(&["gpt-*"]), ["gpt-*", "gpt-5*"]);
        assert_eq!(unknown(&["gpt-5-mini*"]), ["gpt-5*"]);
        assert_eq!(unknown(&["gpt-5-mini", "exact"]), ["exact", "gpt-5*"]);
        assert_eq!(unknown(&["vendor/*"]), ["*"]);
        assert_eq!(unknown(&["gpt-priced", "told", "dead"]), [""; 0]);
    }
}
