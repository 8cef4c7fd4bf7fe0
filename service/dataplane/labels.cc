// Labels on accounts and records.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "service/dataplane/at_uri.h"
#include "service/dataplane/dataplane.h"
#include "service/dataplane/json_field.h"
#include "service/dataplane/read_each.h"
#include "service/dataplane/row_access.h"

namespace dataplane {
namespace {

// Appends `,"name":"value"`.
void AppendField(const char* name, std::string_view value, std::string* json) {
  json->append(",\"").append(name).append("\":");
  AppendJsonString(value, json);
}

}  // namespace

// A label is given word for word, whatever its order among the others. One
// that has expired is gone.
ioloop::Task<absl::Status> Dataplane::GetLabels(
    rpc::CallContext& call, const bsky::GetLabelsRequest& request,
    bsky::GetLabelsResponse* response) {
  absl::Status status = CheckKeys(request.subjects_size(), "subjects");
  if (!status.ok()) co_return status;
  const KeySet issuers(request.issuers());
  if (issuers.size() == 0) co_return absl::OkStatus();
  const KeySet subjects(request.subjects());
  std::vector<uint32_t> asked;
  for (uint32_t i = 0; i < subjects.size(); ++i) {
    if (IsDid(subjects[i]) || ParseAtUri(subjects[i]).has_value()) {
      asked.push_back(i);
    }
  }
  const absl::Time now = absl::Now();
  std::vector<std::vector<std::string>> labels(subjects.size());
  const cql::RequestOptions options = OptionsOf(call);
  const int32_t limit = static_cast<int32_t>(options_.labels_per_subject_max);
  auto start = [&](size_t i) {
    return session_->Execute(options, *queries_.labels, subjects[asked[i]],
                             limit);
  };
  auto use = [&](size_t i, cql::Rows& rows) {
    for (const cql::Row& row : rows) {
      const std::string_view src = TextAt(row, 0);
      if (!issuers.Contains(src)) continue;
      const std::optional<int64_t> exp_at = MsAt(row, 6);
      if (exp_at.has_value() && absl::FromUnixMillis(*exp_at) <= now) continue;
      std::string json = "{\"src\":";
      AppendJsonString(src, &json);
      AppendField("uri", subjects[asked[i]], &json);
      const std::string_view cid = TextAt(row, 2);
      if (!cid.empty()) AppendField("cid", cid, &json);
      AppendField("val", TextAt(row, 1), &json);
      if (BoolAt(row, 3)) json.append(",\"neg\":true");
      AppendField("cts", TextAt(row, 4), &json);
      const std::string_view exp = TextAt(row, 5);
      if (!exp.empty()) AppendField("exp", exp, &json);
      json.push_back('}');
      labels[asked[i]].push_back(std::move(json));
    }
  };
  status = co_await ReadEach(&call, session_, options_.queries_in_flight,
                             asked.size(), &start, &use);
  if (!status.ok()) co_return status;
  for (std::vector<std::string>& of_subject : labels) {
    for (std::string& label : of_subject) {
      response->add_labels(std::move(label));
    }
  }
  co_return absl::OkStatus();
}

}  // namespace dataplane
