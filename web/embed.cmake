# Turns the page's files into one C source: cmake -D OUT=file.c -D DIR=assets -P embed.cmake
# Each gets its media type and an ETag from its content, so that a browser fetches again only what changed.
set(arrays "")
set(rows "")
set(number 0)

macro(asset path file type)
  file(READ "${DIR}/${file}" hex HEX)
  file(SHA256 "${DIR}/${file}" hash)
  string(SUBSTRING "${hash}" 0 16 tag)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "/* ${file} */\nstatic const uint8_t asset_${number}[] = {\n${hex}\n};\n")
  string(APPEND rows "    { \"${path}\", \"${type}\", \"\\\"${tag}\\\"\", asset_${number}, sizeof asset_${number} },\n")
  math(EXPR number "${number} + 1")
endmacro()

asset("/" index.html "text/html; charset=utf-8")
asset("/style.css" style.css "text/css; charset=utf-8")
asset("/app.js" app.js "text/javascript; charset=utf-8")
asset("/page.js" page.js "text/javascript; charset=utf-8")
asset("/chart.js" chart.js "text/javascript; charset=utf-8")
asset("/sections.js" sections.js "text/javascript; charset=utf-8")
asset("/icon.svg" icon.svg "image/svg+xml")

file(WRITE "${OUT}" "/* Made from web/assets by embed.cmake. */
#include \"assets.h\"

${arrays}
const struct web_asset web_assets[] = {
${rows}};
const size_t web_assets_count = sizeof web_assets / sizeof web_assets[0];
")
