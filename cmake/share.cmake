# Fills SHARE with what belongs in share/ of an installation: OCHE's completions, and manual pages made of its --help by
# HELP2MAN where there is one.
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${SHARE})
foreach(shell_path IN ITEMS bash:bash-completion/completions/oche zsh:zsh/site-functions/_oche
                            fish:fish/vendor_completions.d/oche.fish)
  string(REPLACE ":" ";" shell_path ${shell_path})
  list(GET shell_path 0 shell)
  list(GET shell_path 1 path)
  cmake_path(GET path PARENT_PATH folder)
  file(MAKE_DIRECTORY ${SHARE}/${folder})
  execute_process(COMMAND ${OCHE} completion ${shell} OUTPUT_FILE ${SHARE}/${path} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# page(name purpose command...): man1/<name>.1, of the help of a command.
function(page name purpose)
  string(SUBSTRING "${purpose}" 0 1 first)
  string(SUBSTRING "${purpose}" 1 -1 rest)
  string(TOLOWER "${first}" first)
  list(JOIN ARGN " " command)
  execute_process(
    COMMAND ${HELP2MAN} --no-info --include=${SHARE}/see-also "--name=${first}${rest}"
            "--version-string=${name} (oche) ${VERSION}" --output=${SHARE}/man/man1/${name}.1 ${command}
    WORKING_DIRECTORY ${folder} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(HELP2MAN)
  unset(ENV{COLUMNS})  # lines of the usual width
  cmake_path(GET OCHE PARENT_PATH folder)
  cmake_path(GET OCHE FILENAME oche)
  execute_process(COMMAND ${OCHE} --help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "\n.*" "" purpose "${help}")
  string(REGEX MATCH "\nCommands:(\n  [^\n]+)+" entries "${help}")
  string(REGEX REPLACE "\n   +" " " entries "${entries}")
  string(REGEX MATCHALL "\n  [a-z-]+" commands "${entries}")
  list(TRANSFORM commands STRIP)
  list(TRANSFORM commands REPLACE "(.+)" ".BR oche-\\1 (1)" OUTPUT_VARIABLE see_also)
  list(JOIN see_also "\n" see_also)
  file(WRITE ${SHARE}/see-also "[SEE ALSO]\n.BR oche (1)\n${see_also}\n")
  file(MAKE_DIRECTORY ${SHARE}/man/man1)
  page(oche "${purpose}" ./${oche})
  foreach(command IN LISTS commands)
    string(REGEX MATCH "\n  ${command} +([^\n]+)" unused "${entries}")
    page(oche-${command} "${CMAKE_MATCH_1}" ./${oche} ${command})
  endforeach()
  file(REMOVE ${SHARE}/see-also)
endif()
file(TOUCH ${SHARE}/stamp)
