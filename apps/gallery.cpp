// fovea gallery: what every mechanism of the collection attends to on inputs that never change, as pictures and a page.
#include "fovea/apps/gallery.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "fovea/apps/command.h"
#include "fovea/apps/common_options.h"
#include "fovea/apps/mechanisms.h"
#include "fovea/apps/output.h"
#include "fovea/apps/picture_file.h"
#include "fovea/modules/channel/factory.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/draw/sheet.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view page_origin = "<!-- written by fovea gallery -->\n";

struct GalleryArguments {
  std::string output;
  bool force = false;
};

struct Drawn {
  Mechanism mechanism;
  std::vector<GalleryPanel> panels;
  std::vector<Image> pictures;
  std::vector<std::string> files;
};

// Names of make_channel_attention among the words of a row: its first cell, and what its formula says there is "also".
std::vector<std::string> slots_of(const Mechanism& mechanism) {
  std::vector<std::string> words(1);
  const size_t also = mechanism.formula.find("also ");
  const std::string more = also == std::string::npos ? "" : mechanism.formula.substr(also);
  for (const char c : mechanism.name + ", " + more) {
    const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    if (part) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  const auto known = channel_attention_names();
  std::vector<std::string> names;
  for (const std::string& word : words) {
    if (std::ranges::count(known, word) > 0 && std::ranges::count(names, word) == 0) names.push_back(word);
  }
  return names;
}

std::vector<GalleryPanel> panels_of(const Mechanism& mechanism) {
  const auto drawings = token_drawings();
  const auto found = std::ranges::find(drawings, mechanism.name, &TokenDrawing::mechanism);
  if (found != drawings.end()) return found->draw();
  const bool is_slot = mechanism.room.ends_with("modules/channel") || mechanism.room.ends_with("modules/spatial");
  std::vector<GalleryPanel> panels;
  if (!is_slot) return panels;
  for (const std::string& name : slots_of(mechanism)) {
    for (GalleryPanel& panel : slot_drawing(name)) panels.push_back(std::move(panel));
  }
  return panels;
}

// "FAVOR+, 256 features" → "favor-256-features".
std::string file_name(const std::string& title) {
  std::string name;
  for (const char c : title) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      name += static_cast<char>(std::tolower(c));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (name.ends_with('-')) name.pop_back();
  return name;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

// Markdown's [text](address) as HTML.
std::string linked(const std::string& markdown) {
  std::string result, rest = escaped(markdown);
  for (;;) {
    const size_t open = rest.find('['), middle = rest.find("](", open), close = rest.find(')', middle);
    if (open == std::string::npos || middle == std::string::npos || close == std::string::npos) return result + rest;
    result += rest.substr(0, open) + "<a href=\"" + rest.substr(middle + 2, close - middle - 2) + "\">" +
              rest.substr(open + 1, middle - open - 1) + "</a>";
    rest = rest.substr(close + 1);
  }
}

std::string page(const std::vector<Drawn>& all) {
  std::string html(page_origin);
  html += R"(<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>fovea: gallery of attention</title>
<style>
body { font: 16px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1e1e1e; }
article { border-top: 1px solid #ddd; padding: .8rem 0 1rem; }
h3 { margin: .2rem 0; } p { margin: .2rem 0; } .formula { font-family: "Latin Modern Math", Cambria, serif; }
figure { display: inline-block; margin: .6rem .8rem 0 0; } img { max-width: 100%; height: auto; width: 20rem; }
nav a { margin-right: 1rem; }
</style>
<h1>Gallery of attention</h1>
<p>What each mechanism attends to on inputs that never change: 24 tokens in four groups, or a map of 16 channels with
three spots. Parameters are random; the formula makes the pattern, or the input does. Letters: B batch, N queries, M keys, H
heads, d head width, D width, C channels, h×w pixels, r the squeezed width.</p>
)";
  std::string room;
  for (const Drawn& one : all) {
    const Mechanism& m = one.mechanism;
    if (m.room != room) {
      room = m.room;
      html += "<h2>" + escaped(room) + "</h2>\n";
    }
    html += "<article><h3>" + escaped(m.name) + "</h3>\n<p class=\"formula\">" + escaped(m.formula) +
            "</p>\n<p>Cost: " + escaped(m.cost) + ". Header: <code>" + escaped(m.header) +
            "</code>. Source: " + linked(m.source) + ".</p>\n";
    for (size_t i = 0; i < one.files.size(); ++i) {
      html += "<figure><a href=\"" + one.files[i] + "\"><img loading=\"lazy\" src=\"" + one.files[i] + "\" alt=\"" +
              escaped(one.panels[i].matrix.title) + "\"></a></figure>\n";
    }
    html += "</article>\n";
  }
  return html + "</html>\n";
}

bool is_own_page(const std::string& path) {
  std::string beginning(page_origin.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  return beginning == page_origin;
}

// All pictures of a room on one sheet: "modules/attention" → attention.png.
void write_sheets(const std::vector<Drawn>& all, const GalleryArguments& options) {
  for (size_t first = 0; first < all.size();) {
    const std::string& room = all[first].mechanism.room;
    std::vector<SheetPanel> panels;
    for (; first < all.size() && all[first].mechanism.room == room; ++first) {
      const Drawn& one = all[first];
      for (size_t i = 0; i < one.pictures.size(); ++i) panels.push_back({.picture = &one.pictures[i]});
    }
    if (panels.empty()) continue;
    const Image sheet = draw_sheet(panels, {.title = room.substr(0, room.find(" — ")), .side = 300, .columns = 4});
    const std::string name = room.substr(room.rfind('/') + 1) + ".png";
    write_picture((fs::path(options.output) / name).string(), encode_png(sheet), options.force);
  }
}

int run(const GalleryArguments& options) {
  require(draw_available(), ErrorKind::usage, "gallery: this build of fovea has no OpenCV and cannot draw");
  make_folder(options.output);
  const fs::path folder(options.output);
  const std::string index = (folder / "index.html").string();
  check_replaceable(index, options.force, is_own_page);
  std::vector<Drawn> all;
  for (Mechanism& mechanism : listed_mechanisms()) {
    Drawn one{.mechanism = std::move(mechanism)};
    one.panels = panels_of(one.mechanism);
    for (const GalleryPanel& panel : one.panels) {
      one.pictures.push_back(draw_matrices({panel.matrix}, {.x_axis = panel.x_axis, .y_axis = panel.y_axis}));
      one.files.push_back(fmt::format("{:02}-{}.png", all.size() + 1, file_name(panel.matrix.title)));
      write_picture((folder / one.files.back()).string(), encode_png(one.pictures.back()), options.force);
    }
    all.push_back(std::move(one));
  }
  write_sheets(all, options);
  write_file(index, page(all));
  print_output(printable(index) + "\n");
  return 0;
}

}  // namespace

Command add_gallery(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand("gallery", "Draw what every mechanism of the collection attends to");
  auto options = std::make_shared<GalleryArguments>();
  app->add_option("--output", options->output, "Folder for the page and its pictures")->required()->type_name("DIR");
  app->add_flag("--force", options->force, "Replace files that were not written by this command");
  add_verbose_option(*app, common);
  return {app, [options] { return run(*options); }};
}

}  // namespace fovea
