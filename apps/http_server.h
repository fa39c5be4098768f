// HTTP for one machine's own use: who waits costs no thread. One thread reads and writes all connections; a fixed
// number of workers answers what takes long. Nothing here touches the file system.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fovea {

struct HttpRequest {
  std::string path;                          // "/classify"
  std::map<std::string, std::string> query;  // decoded
  std::string content_type;
  std::vector<uint8_t> body;
};

struct HttpAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// {"error": "MESSAGE"}
HttpAnswer http_error(int status, const std::string& message);

struct HttpRoute {
  std::string method;                                    // GET (which answers HEAD too) or POST
  std::string path;                                      // compared as it came: nothing is decoded or joined
  bool works;                                            // answered by a worker, in turn; else at once
  std::function<HttpAnswer(const HttpRequest&)> answer;  // throws nothing
};

struct HttpOptions {
  std::string host = "127.0.0.1";  // an address of this machine, or localhost
  int64_t port = 8080;             // 0: any that is free
  int64_t workers = 2;
  int64_t queue = 16;           // requests that wait for a worker; more are answered 503
  int64_t connections = 64;     // open at once; more are answered 503
  int64_t max_body = 32 << 20;  // bytes of a request's body
  int64_t seconds = 10;         // for a whole request to come, for an answer to be taken, and to wait for a worker
};

class HttpConnection;

// Refuses, before a body is read: hosts that are neither an address nor localhost nor `host` (a foreign name that was
// made to point here), other sites' scripts (Origin), unknown paths and methods, bodies over the cap. Every answer
// carries headers that forbid scripts from elsewhere, framing, guessing of types and caching.
class HttpServer {
 public:
  // Listens. Throws Error(usage) for a host that is no address, Error(io) "127.0.0.1:8080: Address already in use".
  HttpServer(const HttpOptions& options, std::vector<HttpRoute> routes);
  ~HttpServer();

  std::string address() const;  // "http://127.0.0.1:8080/"

  // Until `stop` is true: then nothing new is taken, and what is being answered is answered.
  void run(const std::atomic<bool>& stop);

 private:
  friend class HttpConnection;
  struct State;

  std::unique_ptr<State> state_;
};

}  // namespace fovea
