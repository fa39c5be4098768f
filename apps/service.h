// What `fovea serve` answers: the paths of its page and of JSON, on networks that all requests share.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fovea/apps/http_server.h"
#include "fovea/apps/look.h"

namespace fovea {

struct ServiceOptions {
  NetworkOptions network;         // the first to choose from; nothing and no captioner: all embedded ones
  std::vector<std::string> also;  // embedded names and folders of more
  std::string captioner;          // folder
  ImageOptions images;            // how uploads are decoded
};

class Service {
 public:
  // Loads everything. Throws as load_network and load_captioner, and Error(usage) for two networks of one name.
  Service(const ServiceOptions& options, const Runtime& runtime);

  // For as long as the service lives. Safe from several threads at once.
  std::vector<HttpRoute> routes() const;

  std::vector<std::string> names() const;  // of the networks

 private:
  struct Choice {
    std::string name;
    Network network;
    std::vector<ExplainMethod> methods;  // of methods_to_show
  };
  struct Upload;
  struct Endpoint;

  void add(const NetworkOptions& options);
  HttpAnswer respond(const Endpoint& endpoint, const HttpRequest& request) const;
  Upload read(const HttpRequest& request, const std::vector<std::string>& parameters) const;
  const Choice& chosen(const Upload& upload) const;
  std::string models() const;

  std::string classify(const Upload& upload) const;
  std::string caption(const Upload& upload) const;
  std::string attention(const Upload& upload) const;
  std::string view(const Upload& upload) const;

  static const std::vector<Endpoint>& endpoints();

  ImageOptions images_;
  Runtime runtime_;
  std::vector<Choice> choices_;
  std::optional<LoadedCaptioner> captioner_;
};

}  // namespace fovea
