// <import-kv>
// Package kv keeps values by key for what outlives an exchange.
package kv

import (
	"time"

	"sluicegate/internal/capability"
	witTypes "sluicegate/internal/wit/types"
)

// millis is a time to live; 0 is for ever.
func millis(ttl time.Duration) witTypes.Option[uint64] {
	if ttl <= 0 {
		return witTypes.None[uint64]()
	}
	return witTypes.Some(max(uint64(ttl.Milliseconds()), 1))
}

// Get is the value of a key, if there is one.
func Get(key string) (value []byte, ok bool, err error) {
	found, err := capability.Of(get(key))
	if err != nil || found.IsNone() {
		return nil, false, err
	}
	return found.Some(), true, nil
}

// Set sets a value, for ever if ttl is 0.
func Set(key string, value []byte, ttl time.Duration) error {
	return capability.Done(set(key, value, millis(ttl)))
}

// Insert sets a value only if the key has none, and says whether it did.
func Insert(key string, value []byte, ttl time.Duration) (bool, error) {
	return capability.Of(insert(key, value, millis(ttl)))
}

// Add adds to a number and returns the sum. ttl counts for a key without a value.
func Add(key string, by int64, ttl time.Duration) (int64, error) {
	return capability.Of(add(key, by, millis(ttl)))
}

// Delete removes a key.
func Delete(key string) error { return capability.Done(remove(key)) }

// </import-kv>
