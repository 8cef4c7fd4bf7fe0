// Notifications: made with a record, removed with it.
#include <charconv>
#include <utility>

#include "service/ingest/indexer_state.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr size_t kTimeDigits = 18;

// Sorts as the events came, whatever the records say.
std::string Tie(int64_t time_us, std::string_view reason) {
  std::string digits = Cat(time_us < 0 ? 0 : time_us);
  if (digits.size() < kTimeDigits) {
    digits.insert(0, kTimeDigits - digits.size(), '0');
  }
  return Cat(digits, "/", reason);
}

}  // namespace

ioloop::Task<absl::Status> Indexer::State::Notify(const Indexed& by,
                                                  Notice notice,
                                                  std::string root,
                                                  int64_t time_us,
                                                  std::string* notified) {
  if (!root.empty()) {
    cql::Query query = writer.session()->Execute(*statements.read_thread_mute,
                                                 notice.recipient, root);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) co_return rows.status();
    if (!rows->empty()) co_return absl::OkStatus();
  }
  ListRow row(by.sort_ms, Tie(time_us, notice.reason), by.uri, by.did);
  row.reason = notice.reason;
  row.reason_subject = notice.reason_subject;
  Append(notified, notice.recipient, " ", row.sort_ms, " ", row.tie, "\n");
  const ListKey key(ListTable::kNotifications, notice.recipient);
  co_return co_await lists.Add(key, row);
}

ioloop::Task<absl::Status> Indexer::State::NotifyAbout(const Indexed& by,
                                                       Notice notice,
                                                       int64_t time_us,
                                                       std::string* notified) {
  absl::StatusOr<PostLinks> links = co_await ReadLinks(notice.reason_subject);
  if (!links.ok()) co_return links.status();
  std::string root;
  if (links->live) {
    root = links->root.empty() ? notice.reason_subject : links->root;
  }
  co_return co_await Notify(by, notice, root, time_us, notified);
}

ioloop::Task<absl::Status> Indexer::State::RemoveNotifications(
    const Indexed& by, const std::string& notified) {
  SideBySide work;
  std::string_view left = notified;
  while (!left.empty()) {
    const size_t end = left.find('\n');
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(end == left.npos ? left.size() : end + 1);
    // "<recipient> <sort_ms> <tie>"
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    if (first == line.npos || second == line.npos) continue;
    int64_t sort_ms = 0;
    std::from_chars(line.data() + first + 1, line.data() + second, sort_ms);
    work.Run(
        lists.Remove(ListKey(ListTable::kNotifications, line.substr(0, first)),
                     ListRow(sort_ms, line.substr(second + 1), by.uri, "")));
  }
  co_return co_await work.Join();
}

}  // namespace ingest
