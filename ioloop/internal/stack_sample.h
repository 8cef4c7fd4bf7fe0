// The stack of another thread of this process, taken by a signal to it.
#ifndef RINGPLANE_IOLOOP_INTERNAL_STACK_SAMPLE_H_
#define RINGPLANE_IOLOOP_INTERNAL_STACK_SAMPLE_H_

#include <sys/types.h>

#include <string>

namespace ioloop::internal {

// Installs the handler that SampleStack() needs, for as long as the process
// lives; a signal that somebody else handles or ignores is left alone: false.
// The handler does nothing about signals that others send, and has interrupted
// calls restarted where the kernel can.
bool PrepareStackSignal(int signal);

// Where thread `tid` is, innermost first: "f() < g() < main". A frame without
// a symbol is "file+0xoffset", for addr2line. Empty when `signal` is not
// prepared any more, or the thread takes no signal within a second, as in a
// disk's sleep. One call at a time.
std::string SampleStack(pid_t tid, int signal);

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_STACK_SAMPLE_H_
