// Invented events of every kind, in a network so small that everybody does
// everything to everybody: pairs have duplicates, lists several buckets,
// threads gates, and keys are used again.
#ifndef RINGPLANE_TESTS_SERVICE_INGEST_REPLAY_NETWORK_H_
#define RINGPLANE_TESTS_SERVICE_INGEST_REPLAY_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "service/ingest/indexer.h"
#include "service/ingest/jetstream.h"
#include "tests/service/ingest/indexed_store.h"

namespace ingest {

// The first of them is a trusted verifier in PrepareNetwork().
std::vector<std::string> NetworkNames();

struct NetworkOptions {
  size_t events = 300;
  uint32_t seed = 1;
  // Deletions of whole accounts, in which all that came before is undone.
  bool purges = true;
};
std::vector<Event> MakeNetwork(const NetworkOptions& options);

// "create app.bsky.feed.like", "identity", "account deleted".
std::string KindOf(const Event& event);
// Every kind that MakeNetwork() makes.
std::vector<std::string> NetworkKinds();

// What is in the store before the first event, and no event brings: a trusted
// verifier, muted threads.
void PrepareNetwork(IndexedStore* store);

// Lists get several buckets, timelines are cut and every bound is met within
// some hundred events.
IndexerOptions SmallOptions();
// The same, but every list has one bucket and timelines are whole, whatever
// the order of what does not depend on each other.
IndexerOptions WideOptions();

// What is in one and not in the other, marked - and +. Both are sorted.
std::vector<std::string> Difference(const std::vector<std::string>& expected,
                                    const std::vector<std::string>& actual);

}  // namespace ingest

#endif  // RINGPLANE_TESTS_SERVICE_INGEST_REPLAY_NETWORK_H_
