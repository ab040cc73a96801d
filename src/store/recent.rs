//! A bounded map that keeps what was used lately: two generations, the older one is dropped when the younger is full.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most `2 * capacity` entries; an entry that is used stays.
#[derive(Debug)]
pub struct Recent<K, V> {
    capacity: usize,
    generations: Mutex<[HashMap<K, V>; 2]>,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// An empty one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, generations: Mutex::new([HashMap::new(), HashMap::new()]) }
    }

    fn lock(&self) -> MutexGuard<'_, [HashMap<K, V>; 2]> {
        // The maps are whole after every step, so a panic elsewhere spoils nothing.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations[0].get(key) {
            return Some(value.clone());
        }
        let value = generations[1].remove(key)?;
        insert(&mut generations, self.capacity, key.clone(), value.clone());
        Some(value)
    }

    /// Remembers a value.
    pub fn put(&self, key: K, value: V) {
        insert(&mut self.lock(), self.capacity, key, value);
    }

    /// Forgets a value.
    pub fn remove(&self, key: &K) {
        self.take(key);
    }

    /// Forgets a value and gives it to the caller.
    pub fn take(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        let older = generations[1].remove(key);
        generations[0].remove(key).or(older)
    }
}

fn insert<K: Eq + Hash, V>(generations: &mut [HashMap<K, V>; 2], capacity: usize, key: K, value: V) {
    if generations[0].len() >= capacity && !generations[0].contains_key(&key) {
        generations.swap(0, 1);
        generations[0].clear();
    }
    generations[0].insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let recent = Recent::new(10);
        for i in 0..1_000 {
            recent.put(i, i);
            assert_eq!(recent.get(&0), Some(0));
        }
        assert_eq!(recent.get(&999), Some(999));
        assert_eq!(recent.get(&500), None);
        assert!(recent.lock().iter().map(HashMap::len).sum::<usize>() <= 20);
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
