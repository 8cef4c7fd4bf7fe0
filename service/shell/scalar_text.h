// Numbers, times and strings as text: what a value is made of.
#ifndef RINGPLANE_SERVICE_SHELL_SCALAR_TEXT_H_
#define RINGPLANE_SERVICE_SHELL_SCALAR_TEXT_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cql/protocol/value_types.h"

namespace shell {

// Two's complement, big-endian, of any size, in decimal digits.
std::string VarintText(std::string_view bytes);

// 12.50, or 1.5E+9 where the plain form would need zeros that say nothing: the
// rule of General Decimal Arithmetic's to-scientific-string.
std::string DecimalText(const cql::Decimal& decimal);

// "NaN", "Infinity", "-Infinity", or as many digits as cqlsh shows: five of a
// float, twelve of a double, and those before the point besides.
std::string ShortText(float value);
std::string ShortText(double value);
// The same, but as many digits as it takes to read the same number again.
std::string FullText(float value);
std::string FullText(double value);

// "2023-11-14 22:13:20.123000+0000".
std::string TimestampText(absl::Time time);
// "2023-11-14 22:13:20.123Z".
std::string JsonTimestampText(absl::Time time);
// "10:15:30.123456789".
std::string TimeText(cql::Time time);
// "1y2mo3d4h5m6s7ms8us9ns", without what is zero.
std::string DurationText(const cql::Duration& duration);

}  // namespace shell

#endif  // RINGPLANE_SERVICE_SHELL_SCALAR_TEXT_H_
