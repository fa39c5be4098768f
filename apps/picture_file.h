// Pictures that the program writes into a folder: their names, and whose they are.
#pragma once

#include <string>
#include <vector>

namespace fovea {

// <folder>/<stem of each image><ending>. Throws Error(usage) where two of them would be one, or where one is an image.
std::vector<std::string> picture_names(const std::string& folder, const std::string& ending,
                                       const std::vector<std::string>& images);

// Makes the folder where it is missing. Throws Error(io).
void make_folder(const std::string& path);

// A PNG file with a mark that fovea wrote it. Throws Error(io), also for a file without that mark that is there
// already, unless `force`.
void write_picture(const std::string& path, std::string png, bool force);

// A plot, a document of svg_matrices or svg_curves, by the same rules.
void write_plot(const std::string& path, const std::string& svg, bool force);

// Of a file that the user names: whether its ending asks for SVG. check_picture_name throws Error(usage) unless it ends
// in .svg or .png, and what writing it would throw, before there is anything to write.
bool is_plot_name(const std::string& path);
void check_picture_name(const std::string& path, bool force);

}  // namespace fovea
