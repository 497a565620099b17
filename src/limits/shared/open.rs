//! The open requests of keys that bound their number or their cost. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::LeaseId;
use crate::config::KeyLimits;

/// By key.
#[derive(Debug, Default)]
pub(super) struct OpenRequests(HashMap<Arc<str>, HashMap<LeaseId, Place>>);

/// What an open request takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Whether it counts among the concurrent requests.
    pub(super) is_counted: bool,
    /// Of the budgets, in billionths of a dollar.
    pub(super) held: u64,
}

/// The open requests of a key, as Redis is told of them.
#[derive(Debug, PartialEq)]
pub(super) struct Open {
    pub(super) key: Arc<str>,
    /// Of those that count among the concurrent requests.
    pub(super) leases: Vec<LeaseId>,
    /// Of the budgets, in billionths of a dollar.
    pub(super) held: u64,
}

impl OpenRequests {
    /// A request is open, or asks to be. Whether that is new, and worth knowing.
    pub(super) fn insert(&mut self, key: &Arc<str>, limits: &KeyLimits, held: u64, lease: LeaseId) -> bool {
        let is_counted = limits.concurrent_requests.is_some();
        if !is_counted && !limits.has_budget() {
            return false;
        }
        match self.0.entry(key.clone()).or_default().entry(lease) {
            Entry::Vacant(vacant) => {
                vacant.insert(Place { is_counted, held });
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(super) fn remove(&mut self, key: &Arc<str>, lease: LeaseId) -> Option<Place> {
        let open = self.0.get_mut(key)?;
        let place = open.remove(&lease);
        if open.is_empty() {
            self.0.remove(key);
        }
        place
    }

    /// What the open requests of a key hold, in billionths of a dollar.
    pub(super) fn held(&self, key: &str) -> u64 {
        self.0.get(key).map(held).unwrap_or_default()
    }

    pub(super) fn all(&self) -> Vec<Open> {
        let open = |(key, open): (&Arc<str>, &HashMap<LeaseId, Place>)| Open {
            key: key.clone(),
            leases: open.iter().filter(|(_, place)| place.is_counted).map(|(lease, _)| *lease).collect(),
            held: held(open),
        };
        self.0.iter().map(open).collect()
    }

    /// One that counts among the concurrent requests, as long as it is open.
    pub(super) fn one(&self, key: &Arc<str>, lease: LeaseId) -> Option<Open> {
        let open = self.0.get(key)?;
        open.get(&lease).filter(|place| place.is_counted)?;
        Some(Open { key: key.clone(), leases: vec![lease], held: held(open) })
    }
}

fn held(open: &HashMap<LeaseId, Place>) -> u64 {
    open.values().fold(0, |sum, place| sum.saturating_add(place.held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_holds_are_known_as_long_as_a_request_is_open() {
        let mut open = OpenRequests::default();
        let (key, lease) = (Arc::from("key"), LeaseId);
        let counted = KeyLimits { concurrent_requests: Some(5), ..KeyLimits::default() };
        let paid = KeyLimits { usd_per_day: Some(1.0), ..KeyLimits::default() };
        assert!(!open.insert(&key, &KeyLimits::default(), 1, lease(0)), "nothing is bounded");
        assert!(open.insert(&key, &counted, 0, lease(1)) && open.insert(&key, &paid, 30, lease(2)));
        assert!(!open.insert(&key, &paid, 30, lease(2)), "it is known");
        assert_eq!(open.all(), [Open { key: key.clone(), leases: vec![lease(1)], held: 30 }]);
        assert_eq!(open.one(&key, lease(1)), Some(Open { key: key.clone(), leases: vec![lease(1)], held: 30 }));
        assert_eq!(open.one(&key, lease(2)), None, "it has no place");
        assert_eq!(open.remove(&key, lease(2)), Some(Place { is_counted: false, held: 30 }));
        assert_eq!((open.remove(&key, lease(2)), open.held("key")), (None, 0));
        open.remove(&key, lease(1));
        assert!(open.0.is_empty());
    }
}
