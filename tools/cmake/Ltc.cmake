# One helper per kind of thing. A folder is a library: its sources are its
# *.cpp, its unit tests its *Test.cpp; nothing is listed by hand.
find_package(Threads REQUIRED)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>) # for ccache
endif()
set_property(GLOBAL PROPERTY LTC_COMPILER_PARTS "")
add_library(LtcRuntime STATIC)
set_target_properties(LtcRuntime PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(LtcRuntime PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
file(WRITE ${PROJECT_BINARY_DIR}/anchor.cpp "")
target_sources(LtcRuntime PRIVATE ${PROJECT_BINARY_DIR}/anchor.cpp)
target_precompile_headers(LtcRuntime PRIVATE
  <cstdint> <functional> <map> <memory> <string> <string_view> <vector>)
if(LTC_BUILD_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
endif()

# ltc_add_folders(a b/* ...): adds every folder that exists and has a CMakeLists.txt.
function(ltc_add_folders)
  foreach(pattern ${ARGN})
    file(GLOB dirs RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS
      ${PROJECT_SOURCE_DIR}/${pattern}/CMakeLists.txt)
    foreach(file ${dirs})
      get_filename_component(dir ${file} DIRECTORY)
      add_subdirectory(${PROJECT_SOURCE_DIR}/${dir} ${PROJECT_BINARY_DIR}/${dir})
    endforeach()
  endforeach()
endfunction()

# Sources of the current folder, without unit tests, into `out`.
function(_ltc_sources out)
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  list(FILTER sources EXCLUDE REGEX "Test\\.cpp$")
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# One GoogleTest program per folder that has *Test.cpp.
function(_ltc_tests name)
  file(GLOB tests CONFIGURE_DEPENDS *Test.cpp)
  if(NOT LTC_BUILD_TESTS OR NOT tests)
    return()
  endif()
  add_executable(${name}Test ${tests})
  target_link_libraries(${name}Test PRIVATE ${ARGN} GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name}Test WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()

# ltc_add_script(name [SLOW] [PEERS] script arguments...): a test that runs a
# script of the current folder; it passes when it exits with 0. SLOW ones take
# minutes, PEERS need the Python of `tools/setup peers`: both are left to
# `tools/check --all`.
function(ltc_add_script name)
  cmake_parse_arguments(PARSE_ARGV 1 test "SLOW;PEERS" "" "")
  list(POP_FRONT test_UNPARSED_ARGUMENTS script)
  set(python)
  if(test_PEERS)
    set(python ${PROJECT_BINARY_DIR}/peers/bin/python)
  endif()
  add_test(NAME ${name}
    COMMAND ${python} ${CMAKE_CURRENT_SOURCE_DIR}/${script}
      ${test_UNPARSED_ARGUMENTS}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  if(test_SLOW OR test_PEERS)
    set(labels slow)
    if(test_PEERS)
      list(APPEND labels peers)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT 3000)
  endif()
endfunction()

# ltc_add_runtime(Base [libraries...]): this folder joins LtcRuntime.
function(ltc_add_runtime name)
  _ltc_sources(sources)
  target_sources(LtcRuntime PRIVATE ${sources})
  target_link_libraries(LtcRuntime PUBLIC ${ARGN})
  _ltc_tests(Ltc${name} LtcRuntime)
endfunction()

macro(ltc_find_mlir)
  find_package(MLIR REQUIRED CONFIG)
  find_package(LLD REQUIRED CONFIG HINTS ${LLVM_DIR}/../lld)
  list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
  include(TableGen)
  include(AddLLVM)
  include(AddMLIR)
  include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
  add_compile_definitions(${LLVM_DEFINITIONS_LIST})
  # Heavy headers once: every part of the compiler reuses this one.
  add_library(LtcCompilerPch OBJECT ${PROJECT_BINARY_DIR}/anchor.cpp)
  set_target_properties(LtcCompilerPch PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_precompile_headers(LtcCompilerPch PRIVATE
    ${PROJECT_SOURCE_DIR}/tools/cmake/CompilerPch.h)
endmacro()

function(_ltc_part name)
  _ltc_sources(sources)
  add_library(${name} OBJECT ${sources})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_precompile_headers(${name} REUSE_FROM LtcCompilerPch)
  get_property(gens GLOBAL PROPERTY LTC_GENERATED)
  if(gens)
    add_dependencies(${name} ${gens})
  endif()
  set_property(GLOBAL APPEND PROPERTY LTC_COMPILER_PARTS ${name})
  _ltc_tests(${name} LtcCompiler LtcRuntime)
endfunction()

# ltc_add_compiler(Spec [libraries...]): this folder joins libLtcCompiler.so.
function(ltc_add_compiler name)
  _ltc_part(Ltc${name})
  set_property(GLOBAL APPEND PROPERTY LTC_COMPILER_LIBS ${ARGN})
endfunction()

# ltc_add_dialect(ltc Ops.td)
function(ltc_add_dialect ns td)
  get_filename_component(base ${td} NAME_WE)
  set(LLVM_TARGET_DEFINITIONS ${td})
  mlir_tablegen(${base}.h.inc -gen-op-decls)
  mlir_tablegen(${base}.cpp.inc -gen-op-defs)
  mlir_tablegen(${base}Dialect.h.inc -gen-dialect-decls -dialect=${ns})
  mlir_tablegen(${base}Dialect.cpp.inc -gen-dialect-defs -dialect=${ns})
  mlir_tablegen(${base}Enums.h.inc -gen-enum-decls)
  mlir_tablegen(${base}Enums.cpp.inc -gen-enum-defs)
  add_public_tablegen_target(LtcOpsGen)
  set_property(GLOBAL APPEND PROPERTY LTC_GENERATED LtcOpsGen)
  _ltc_part(LtcOps)
endfunction()

# ltc_add_interfaces(Evaluate Factors ...): one X.td each in this folder.
function(ltc_add_interfaces)
  foreach(name ${ARGN})
    set(LLVM_TARGET_DEFINITIONS ${name}.td)
    mlir_tablegen(${name}.h.inc -gen-op-interface-decls)
    mlir_tablegen(${name}.cpp.inc -gen-op-interface-defs)
    add_public_tablegen_target(Ltc${name}Gen)
    set_property(GLOBAL APPEND PROPERTY LTC_GENERATED Ltc${name}Gen)
  endforeach()
  _ltc_part(LtcInterfaces)
endfunction()

# ltc_add_passes(Fusion): runs Passes.td.
function(ltc_add_passes family)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${family})
  add_public_tablegen_target(Ltc${family}Gen)
  set_property(GLOBAL APPEND PROPERTY LTC_GENERATED Ltc${family}Gen)
  _ltc_part(Ltc${family})
endfunction()

# Every .mlir of the repository is a test: one lit run over all of them.
function(ltc_add_lit)
  file(WRITE ${PROJECT_BINARY_DIR}/lit/lit.site.cfg.py
    "config.ltc_source = '${PROJECT_SOURCE_DIR}'\n"
    "config.ltc_build = '${PROJECT_BINARY_DIR}'\n"
    "config.llvm_bin = '${LLVM_TOOLS_BINARY_DIR}'\n"
    "lit_config.load_config(config, '${PROJECT_SOURCE_DIR}/tests/lit.shared.py')\n")
  add_test(NAME lit COMMAND ${LLVM_TOOLS_BINARY_DIR}/lit -q --order=lexical
    ${PROJECT_BINARY_DIR}/lit)
endfunction()

# The shared library that `ltc` opens to compile and that plugins link.
function(ltc_add_compiler_library)
  get_property(parts GLOBAL PROPERTY LTC_COMPILER_PARTS)
  get_property(libs GLOBAL PROPERTY LTC_COMPILER_LIBS)
  add_library(LtcCompiler SHARED ${PROJECT_BINARY_DIR}/anchor.cpp)
  target_link_libraries(LtcCompiler PRIVATE ${parts} ${libs} LtcRuntime PUBLIC MLIR LLVM)
  set_target_properties(LtcCompiler PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
endfunction()
