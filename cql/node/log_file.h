// The write-ahead log's files, such that a sync costs what it must and no more.
//
// A file that grows changes its size with every sync, and on a journaling file
// system each such change is a transaction of the journal: several times the
// write itself. So these files grow ahead of what is written, by zeros, and
// most syncs only have bytes to write that have their place already. RocksDB
// takes zeros at the end of a log for its end.
#ifndef RINGPLANE_CQL_NODE_LOG_FILE_H_
#define RINGPLANE_CQL_NODE_LOG_FILE_H_

#include <rocksdb/env.h>

namespace cql::node {

// The usual files, but for logs. Never destroyed.
rocksdb::Env* LogAheadEnv();

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_LOG_FILE_H_
